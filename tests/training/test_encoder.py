# ruff: noqa: E402 - what needs torch is imported where torch is there
from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from ray import cloudpickle
from tiny_families import MODEL_TYPES, chat, tiny
from toy_data import write_toy_data

from kpray.training.batching import plan_steps
from kpray.training.config import ModelConfig, OptimConfig, TrainConfig
from kpray.training.encoder import load_encoder
from kpray.training.feeding import feed, feed_in_process
from kpray.training.prepare import prepare
from kpray.training.types import Record


def run_config(folder: Path, model_type: str) -> TrainConfig:
    """A toy dataset and a tiny model's folder."""
    model = folder / "model"
    tiny(model_type).model.config.save_pretrained(model)
    tiny(model_type).processor.save_pretrained(model)
    config = write_toy_data(folder, 12, max_length=512)
    return msgspec.structs.replace(config, model=ModelConfig(name=str(model)), optim=OptimConfig(batch_size=2))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_an_encoder_makes_the_same_in_another_process(tmp_path: Path, model_type: str):
    config = run_config(tmp_path, model_type)
    encoder = load_encoder(config.model.name, config.data)
    sent = cloudpickle.loads(cloudpickle.dumps(encoder))
    record = Record("1", "1.png", chat("<image>\nWhat is the left arm doing?", "It is raised."))
    here, there = encoder.encode(record), sent.encode(record)
    assert np.array_equal(here.input_ids, there.input_ids)
    assert np.array_equal(here.labels, there.labels)
    assert all(np.array_equal(here.extra[key], there.extra[key]) for key in here.extra)
    assert sent.fingerprint() == encoder.fingerprint()


def test_the_fingerprint_follows_the_chat_template(tmp_path: Path):
    config = run_config(tmp_path, "qwen2_vl")
    before = load_encoder(config.model.name, config.data).fingerprint()
    template = Path(config.model.name) / "chat_template.jinja"
    template.write_text(template.read_text().replace("helpful", "terse"))
    assert load_encoder(config.model.name, config.data).fingerprint() != before


def test_the_fingerprint_follows_a_template_that_the_family_trains_with_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = run_config(tmp_path, "llava")  # whose own template ends no answer
    before = load_encoder(config.model.name, config.data)
    family: Any = type(before.family)
    fingerprint = before.fingerprint()
    monkeypatch.setattr(family, "template", family.template.replace("curious", "terse"))
    assert load_encoder(config.model.name, config.data).fingerprint() != fingerprint


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize("model_type", ["llava", "qwen2_5_vl"])
def test_a_model_is_fed_from_its_folder_and_learns_from_what_was_counted(tmp_path: Path, model_type: str):
    config = run_config(tmp_path, model_type)
    data = prepare(config)
    plan = plan_steps(*data.lengths(), config.optim, config.data, seed=0, world=1)
    (step,), (here,) = (list(how(config, data, plan, rank=0, world=1)) for how in (feed, feed_in_process))
    assert (
        sum(int((batch["labels"] != -100).sum()) for batch in step.micro_batches) == step.supervised == data.supervised
    )
    for made, expected in zip(step.micro_batches, here.micro_batches, strict=True):
        assert made.keys() == expected.keys()
        assert all(torch.equal(made[key], expected[key]) for key in made)
    batch = {k: v.float() if v.is_floating_point() else v for k, v in step.micro_batches[0].items()}
    with torch.no_grad():
        assert torch.isfinite(tiny(model_type).model(**batch, use_cache=False).loss)
