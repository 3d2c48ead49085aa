"""The model's own way of counting tokens where it is at hand, without any network; else a reckoning from the text."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from kpray.config import TeacherConfig
from kpray.ledger.tokens import PER_MESSAGE, rough_tokens
from kpray.schemas import Request

_ENCODING_URL: Final = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"
"""tiktoken keeps what it downloads under the SHA-1 of the address."""


class Counter(NamedTuple):
    """How prompts are measured.

    Attributes:
        count: Tokens of a request's prompt.
        name: For a person.
        exact: Whether these are the model's own tokens.
    """

    count: Callable[[Request], int]
    name: str
    exact: bool


def find_counter(settings: TeacherConfig) -> Counter:
    """The best counter that there is for a teacher's model; nothing is downloaded."""
    if settings.name == "vllm":
        found = _of_folder(Path(settings.model) / "tokenizer.json")
    else:
        found = _of_tiktoken(settings.model)
    return found or Counter(rough_tokens, "reckoned from the text (no tokenizer of the model at hand)", exact=False)


def _of_folder(file: Path) -> Counter | None:
    if not file.is_file() or importlib.util.find_spec("tokenizers") is None:
        return None
    tokenizer: Any = importlib.import_module("tokenizers").Tokenizer.from_file(str(file))
    return _counter(
        lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids), "the model's tokenizer.json"
    )


def _of_tiktoken(model: str) -> Counter | None:
    if importlib.util.find_spec("tiktoken") is None:
        return None
    tiktoken: Any = importlib.import_module("tiktoken")
    try:
        name: str = tiktoken.encoding_name_for_model(model)
    except KeyError:
        return None
    if not _is_downloaded(name):
        return None
    encoding: Any = tiktoken.get_encoding(name)
    return _counter(lambda text: len(encoding.encode_ordinary(text)), f"tiktoken's {name}")


def _is_downloaded(encoding: str) -> bool:
    """Whether tiktoken finds an encoding without going to the network; it looks in the same places."""
    named = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    folder = Path(named or Path(tempfile.gettempdir()) / "data-gym-cache")
    key = hashlib.sha1(_ENCODING_URL.format(encoding).encode()).hexdigest()
    return (folder / key).is_file()


def _counter(tokens: Callable[[str], int], name: str) -> Counter:
    remembered = functools.lru_cache(maxsize=4_096)(tokens)  # most messages are the same in every request

    def count(request: Request) -> int:
        messages = sum(PER_MESSAGE + remembered(message.content) for message in request.messages)
        if request.response_schema is None:
            return messages
        return messages + remembered(msgspec.json.encode(request.response_schema).decode())

    return Counter(count, name, exact=True)
