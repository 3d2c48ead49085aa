"""A small dataset with images, whose records have different lengths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from kpray.training.config import DataConfig, TrainConfig


def record(number: int, image: str | None = "0.png", *, words: int = 5, answer: str | None = None) -> dict[str, Any]:
    question = f"{'<image> ' if image else ''}What is in {number}?"
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer or " ".join(["word"] * words)}]
    return {"id": f"r{number}", "conversations": turns} | ({"image": image} if image else {})


def write_toy_data(folder: Path, count: int, *others: Any, **data: Any) -> TrainConfig:
    """`count` good records and the others, in a file, with images of 32 and 48 px; the configuration of a run."""
    folder.mkdir(exist_ok=True)
    for i, side in enumerate((32, 48, 32)):
        Image.new("RGB", (side, side), (80 * i, 0, 0)).save(folder / f"{i}.png")
    good = [record(i, f"{i % 3}.png", words=1 + i % 7) for i in range(count)]
    (folder / "data.json").write_text(json.dumps([*good, *others]))
    values = {"path": str(folder / "data.json"), "images": str(folder), "max_length": 64}
    return TrainConfig(out=str(folder / "out"), data=DataConfig(**(values | data)))
