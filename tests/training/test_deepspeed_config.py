from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kpray.config import load_config
from kpray.training.config import DataConfig, DeepSpeedConfig, ModelConfig, OptimConfig, TrainConfig
from kpray.training.deepspeed import deepspeed_settings
from kpray.training.describe import describe_config

ROOT = Path(__file__).parent.parent.parent


def settings(*, gpu: bool = True, accumulation: int = 2, **parts: Any) -> dict[str, Any]:
    config = TrainConfig(out="out", data=DataConfig(path="data"), **parts)
    return deepspeed_settings(config, accumulation=accumulation, gpu=gpu)


def test_the_defaults_are_the_papers_zero_3() -> None:
    made = settings()
    assert made["zero_optimization"]["stage"] == 3
    assert made["zero_optimization"]["overlap_comm"]
    assert (made["train_micro_batch_size_per_gpu"], made["gradient_accumulation_steps"]) == (8, 2)
    assert (made["bf16"]["enabled"], made["fp16"]["enabled"]) == (True, False)
    assert made["gradient_clipping"] == 0.0  # DeepSpeed clips nothing then


def test_without_a_gpu_nothing_overlaps() -> None:
    zero = settings(gpu=False)["zero_optimization"]
    assert not zero["overlap_comm"]
    assert not zero["contiguous_gradients"]


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_lower_stages_say_nothing_of_weights(stage: Any) -> None:
    zero = settings(deepspeed=DeepSpeedConfig(stage=stage))["zero_optimization"]
    assert zero["stage"] == stage
    assert not [key for key in zero if key.startswith("stage3")]


def test_offload_is_of_what_was_asked_for() -> None:
    zero = settings(deepspeed=DeepSpeedConfig(offload_optimizer=True))["zero_optimization"]
    assert zero["offload_optimizer"] == {"device": "cpu", "pin_memory": True}
    assert "offload_param" not in zero
    zero = settings(deepspeed=DeepSpeedConfig(offload_weights=True))["zero_optimization"]
    assert zero["offload_param"]["device"] == "cpu"


def test_raw_settings_go_before_all_and_auto_means_ours() -> None:
    raw = {
        "bf16": {"enabled": "auto"},
        "train_batch_size": "auto",
        "gradient_clipping": 0.5,
        "zero_optimization": {"stage": 3, "overlap_comm": False, "reduce_bucket_size": 10_000},
        "something_new": {"deep": [1]},
    }
    made = settings(deepspeed=DeepSpeedConfig(raw=raw), optim=OptimConfig(max_grad_norm=1.0))
    assert made["bf16"] == {"enabled": True}
    assert "train_batch_size" not in made
    assert made["gradient_clipping"] == 0.5
    assert made["zero_optimization"]["overlap_comm"] is False
    assert made["zero_optimization"]["reduce_bucket_size"] == 10_000
    assert made["zero_optimization"]["stage3_param_persistence_threshold"] == 1_000
    assert made["something_new"] == {"deep": [1]}


def test_deepspeed_itself_accepts_them() -> None:
    runtime = pytest.importorskip("deepspeed.runtime.config")
    for gpu in (False, True):
        made = settings(gpu=gpu, model=ModelConfig(dtype="float32"), optim=OptimConfig(max_grad_norm=1.0))
        accepted = runtime.DeepSpeedConfig(json.loads(json.dumps(made)))
        assert accepted.zero_optimization_stage == 3
        assert accepted.gradient_clipping == 1.0
        assert not accepted.bfloat16_config.enabled


def recipe(name: str) -> TrainConfig:
    return load_config(TrainConfig, file=str(ROOT / "jobs" / "configs" / name), flags={}, overrides=())


def test_the_papers_table_2() -> None:
    config = recipe("paper/llava15-7b-zero3.yaml")
    optim = config.optim
    assert config.model.name == "llava-hf/llava-1.5-7b-hf"
    assert (optim.epochs, optim.batch_size, optim.accumulation, optim.lr) == (1, 8, 2, 2e-5)
    assert (optim.schedule, optim.warmup, optim.weight_decay, optim.max_grad_norm) == ("cosine", 0.03, 0.0, None)
    assert (config.model.frozen, config.model.lora, config.deepspeed.stage) == (("vision",), None, 3)
    assert config.workers.count == 2


@pytest.mark.parametrize("name", ["train.yaml", "paper/llava15-7b-lora.yaml", "paper/qwen2-vl-7b.yaml"])
def test_the_other_recipes_load(name: str) -> None:
    assert recipe(name).optim.epochs == 1


def test_a_dry_run_shows_both_configurations() -> None:
    text = describe_config(recipe("paper/llava15-7b-lora.yaml"))
    assert "rank: 128" in text
    assert "32 sequences a step: 2 workers x 2 passes x 8" in text
    assert '"stage": 3' in text
