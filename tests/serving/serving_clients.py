"""Clients that ask a served model, one after the other, from several threads."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
from serving_models import picture


def image_part(seed: int = 0) -> dict[str, Any]:
    """A picture as OpenAI's API takes it."""
    image = picture(seed)
    data = base64.b64encode(image.encoded).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{data}"}}


def messages(text: str = "Describe the pose.", *, images: int = 1) -> Any:
    """One user message with pictures."""
    return [{"role": "user", "content": [*map(image_part, range(images)), {"type": "text", "text": text}]}]


class Outcomes:
    """What clients saw: `answered` counts, `lost` after the first piece, `failed` before it."""

    def __init__(self) -> None:
        self.answered = 0
        self.lost: list[Exception] = []
        self.failed: list[Exception] = []


def stream_once(
    client: openai.OpenAI,
    model: str,
    outcomes: Outcomes,
    *,
    max_tokens: int,
    on_first: Callable[[], None] = lambda: None,
) -> None:
    """One streamed answer, counted; `on_first` is called when its first text is there."""
    begun = False
    try:
        for chunk in client.chat.completions.create(
            model=model, messages=messages(), stream=True, max_tokens=max_tokens, temperature=0
        ):
            if not begun and chunk.choices and chunk.choices[0].delta.content:
                begun = True
                on_first()
    except openai.APIError as error:
        (outcomes.lost if begun else outcomes.failed).append(error)
    else:
        outcomes.answered += 1


@contextmanager
def flow(ask: Callable[[], None], *, clients: int) -> Iterator[None]:
    """Clients that ask again and again until the block ends; their last answers are waited for."""
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            ask()

    threads = [threading.Thread(target=go_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
