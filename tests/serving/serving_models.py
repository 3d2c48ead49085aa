"""Small random models in folders, and requests to them. Needs torch and transformers."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

sys.path.append(str(Path(__file__).parent.parent / "training"))
from tiny_families import tiny

from kpray.serving.config import ServedModel
from kpray.serving.types import ChatMessage, ChatRequest, ChatSampling, Delta, Image


def saved_model(folder: Path, family: str = "llava") -> Path:
    """A folder with the tiny random model of a family."""
    model, processor = tiny(family)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def served(folder: Path, **settings: Any) -> ServedModel:
    """The configuration of a model in a folder."""
    return ServedModel(**{"name": "tiny", "path": str(folder), "engine": "transformers"} | settings)


def picture(seed: int = 0, *, width: int = 90, height: int = 60, form: str = "PNG") -> Image:
    """Coloured noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, form)
    return Image(file.getvalue(), f"image/{form.lower()}", width, height)


def ask(*parts: str | Image, max_tokens: int = 16, temperature: float = 0.0, **sampling: Any) -> ChatRequest:
    """One user message."""
    drawn = {"temperature": temperature, "top_p": 1.0, "max_tokens": max_tokens} | sampling
    return ChatRequest("r-1", "tiny", (ChatMessage("user", parts),), ChatSampling(**drawn))


async def answer_of(engine: Any, request: ChatRequest) -> list[Delta]:
    """All pieces of one answer."""
    return [piece async for piece in engine.answer(request)]


def answers_of(engine: Any, requests: Sequence[ChatRequest], *, apart_s: float = 0.0) -> list[list[Delta]]:
    """All pieces of several answers that are asked for together, or one `apart_s` after the other."""

    async def later(index: int, request: ChatRequest) -> list[Delta]:
        await asyncio.sleep(index * apart_s)
        return await answer_of(engine, request)

    async def together() -> list[list[Delta]]:
        return await asyncio.gather(*(later(index, request) for index, request in enumerate(requests)))

    return asyncio.run(together())


def text_of(pieces: Sequence[Delta]) -> str:
    """The whole text."""
    return "".join(piece.text for piece in pieces)
