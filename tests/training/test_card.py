from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from kpray.training.card import _smoothed, _ticks, loss_curve, render_card, write_card
from kpray.training.config import DataConfig, LoraConfig, ModelConfig, TrainConfig
from kpray.training.manifest import TrainManifest
from kpray.training.metrics import StepMetrics


def manifest(**changes: Any) -> TrainManifest:
    model = ModelConfig(**({"name": "someone/base-7b"} | changes))
    config = TrainConfig(out="runs/mine", data=DataConfig(path="data.json"), model=model)
    data = {"fingerprint": "abc123", "records": 1_200, "tokens": 9_000, "supervised": 800, "skipped": {"too_long": 3}}
    return TrainManifest(config, {}, {"torch": "2.13.0"}, 32, data, steps=40)


def metrics(count: int) -> list[StepMetrics]:
    one = StepMetrics(1, 4.0, {"language": 1e-3}, 1.0, 1, 100, 20, 1.0, 0.0, 100.0, 1.0, 0.1)
    return [replace(one, step=step, loss=4.0 / step) for step in range(1, count + 1)]


def test_a_card_tells_what_it_was_made_of() -> None:
    card = render_card(manifest(), metrics(40), step=40, adapter=False)
    for said in (
        "base_model: someone/base-7b",
        "abc123",
        "1,200",
        "too_long 3",
        "32 sequences",
        "2e-05",
        "torch 2.13.0",
    ):
        assert said in card
    assert "| steps | 40 |" in card
    assert "| LoRA | no |" in card
    assert "Loss 4.0000 at the first step" in card


def test_a_base_that_was_a_folder_is_named_without_its_path() -> None:
    card = render_card(manifest(name="/home/me/models/tiny"), metrics(3), step=3, adapter=False)
    assert "/home/me" not in card
    assert "base_model" not in card
    assert "tiny" in card


def test_an_adapters_card_says_how_to_load_it() -> None:
    card = render_card(manifest(lora=LoraConfig()), metrics(3), step=3, adapter=True)
    assert "library_name: peft" in card
    assert "rank 128, alpha 256" in card
    assert 'PeftModel.from_pretrained(base, ".")' in card


def test_steps_after_the_checkpoint_are_not_drawn(tmp_path: Path) -> None:
    for step, name in ((40, "all"), (10, "part")):
        (tmp_path / name).mkdir()
        write_card(manifest(), metrics(40), tmp_path / name, step=step, adapter=False)
    assert "| steps | 10 of 40 |" in (tmp_path / "part" / "README.md").read_text()
    assert (tmp_path / "part" / "loss.png").read_bytes() != (tmp_path / "all" / "loss.png").read_bytes()


def test_without_metrics_there_is_a_card_without_a_curve(tmp_path: Path) -> None:
    write_card(manifest(), [], tmp_path, step=5, adapter=False)
    assert not (tmp_path / "loss.png").exists()
    assert "loss.png" not in (tmp_path / "README.md").read_text()


def test_the_curve_falls_where_the_loss_falls() -> None:
    pixels = np.asarray(Image.open(io.BytesIO(loss_curve([(step, 4.0 - step / 100) for step in range(1, 301)]))))
    blue = (pixels[..., 2].astype(int) - pixels[..., 0] > 80).nonzero()
    heights = [blue[0][blue[1] == column].mean() for column in (200, 400, 600)]
    assert heights == sorted(heights)  # rows count downwards
    assert heights[2] - heights[0] > 100


def test_the_smoothed_line_lies_in_the_middle_of_the_steps_and_not_behind_them() -> None:
    steps = [(step, 10.0 - step / 20 + (0.5 if step % 2 else -0.5)) for step in range(1, 161)]
    smoothed = dict(_smoothed(steps))
    assert [smoothed[step] for step in (20, 80, 140)] == pytest.approx([9.0, 6.0, 3.0], abs=0.1)
    assert (smoothed[1], smoothed[160]) == (steps[0][1], steps[-1][1])


@pytest.mark.parametrize("losses", [[6.9, 0.6], [0.32, 0.21], [2.0], [0.0], [1e-4, 12_345.0], [1.0, 1.0 + 1e-12]])
def test_the_scale_is_round_and_holds_all_losses(losses: list[float]) -> None:
    ticks = _ticks(losses)
    assert 2 <= len(ticks) <= 9
    assert ticks[0] <= min(losses)
    assert max(losses) <= ticks[-1] + 1e-9
    assert all(len(f"{tick:g}") <= 5 for tick in ticks)


@pytest.mark.parametrize("losses", [[(7, 2.0)], [(1, 2.0), (2, 2.0)], [(1, 0.0), (2, 0.0)]])
def test_a_curve_without_extent_is_drawn(losses: list[tuple[int, float]]) -> None:
    assert Image.open(io.BytesIO(loss_curve(losses))).size == (760, 380)
