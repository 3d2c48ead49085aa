# ruff: noqa: E402 - what needs torch is imported where torch is there
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("deepspeed")

from msgspec.structs import replace
from tiny_families import tiny
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaModel, LlavaConfig

from kpray.cli.plan import plan as plan_command
from kpray.errors import ConfigError, InputError
from kpray.training.config import (
    DataConfig,
    DeepSpeedConfig,
    LoraConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
)
from kpray.training.estimate import TrainPlan, make_train_plan, memory_of, require_fit
from kpray.training.gpus import gpu_of_device, known_gpus, parse_gpus
from kpray.training.memory import _kept_by_layer
from kpray.training.plan_text import train_plan_text
from kpray.training.shape import PartShape, model_shape
from kpray.training.workload import given_workload, read_workload, typical_picture, workload_of

GIB = 2**30


@pytest.fixture(scope="module")
def llava() -> Any:
    """LLaVA-1.5-7B's configuration: the defaults of transformers and a vocabulary with image and pad token."""
    config = LlavaConfig(image_token_index=32_000)
    config.text_config.vocab_size = 32_064
    return config


def run(**changes: Any) -> TrainConfig:
    """The paper's run, each sample in a sequence of its own, as there."""
    return replace(TrainConfig(out="out", data=DataConfig(path="data", batching="padded")), **changes)


def plan(llava: Any, config: TrainConfig, gpus: str = "2xA100-80GB", **more: Any) -> TrainPlan:
    count, gpu = parse_gpus(gpus)
    workload = given_workload(llava, samples=200_328, tokens_per_sample=800, max_length=2048)
    return make_train_plan(config, llava, workload, gpus=count, gpu=gpu, **more)


def test_the_papers_run_fits_its_two_gpus(llava: Any) -> None:
    made = plan(llava, run(), usd_per_gpu_hour=2.0)
    assert made.fits
    assert made.remedies == ()
    assert made.steps == 6_261  # 200,328 samples in batches of 32
    assert 60 * GIB < made.memory_total < 80 * GIB
    assert 5 < made.hours < 15
    assert made.usd == pytest.approx(made.hours * 2 * 2.0)


def test_one_of_them_is_too_few_and_the_plan_says_what_helps_in_the_order_of_what_it_costs(llava: Any) -> None:
    config = run(
        model=ModelConfig(gradient_checkpointing=False), deepspeed=DeepSpeedConfig(stage=2), optim=OptimConfig()
    )
    made = plan(llava, config, "RTX4090")
    keys = [remedy.change.partition(":")[0] for remedy in made.remedies]
    assert keys[:3] == ["model.gradient_checkpointing", "deepspeed.stage", "optim.batch_size"]
    assert keys[-1] == "deepspeed.offload_optimizer"
    assert [remedy.fits for remedy in made.remedies] == [False] * (len(keys) - 1) + [True]
    totals = [remedy.total for remedy in made.remedies]
    assert totals == sorted(totals, reverse=True)
    assert made.usd is None
    with pytest.raises(ConfigError, match=r"offload_optimizer.*kpray plan train"):
        require_fit(config, llava, gpus=1, gpu_memory=24 * GIB, longest=2048)
    with pytest.raises(ConfigError, match=r"No change.*larger ones"):
        require_fit(config, llava, gpus=1, gpu_memory=2 * GIB, longest=2048)
    require_fit(run(), llava, gpus=2, gpu_memory=80 * GIB, longest=2048)


def test_model_states_agree_with_deepspeeds_own_estimate(llava: Any) -> None:
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs

    config = run(model=ModelConfig(frozen=()))
    shape = model_shape(llava, config.model)
    workload = given_workload(llava, samples=9, tokens_per_sample=800, max_length=2048)
    for gpus in (1, 2, 8):
        _, theirs, largest = estimate_zero3_model_states_mem_needs(shape.parameters, 10**8, gpus, 1, False, False)
        memory = memory_of(config, shape, workload, gpus=gpus)
        # They take gradients in 32 bits; this engine keeps them in the model's dtype (its gradient_accumulation_dtype).
        assert memory.states + memory.gradients == pytest.approx(theirs - largest, rel=0.001)


def test_each_stage_divides_what_it_says(llava: Any) -> None:
    workload = given_workload(llava, samples=9, tokens_per_sample=800, max_length=2048)
    shape = model_shape(llava, ModelConfig())
    by_stage = [
        memory_of(run(deepspeed=DeepSpeedConfig(stage=stage)), shape, workload, gpus=4)  # type: ignore[arg-type]
        for stage in range(4)
    ]
    whole, share = 12 * shape.learning, 12 * (shape.learning // 4)
    assert [m.optimizer for m in by_stage] == [whole, share, share, share]
    assert [m.gradients for m in by_stage] == pytest.approx([2 * shape.learning / part for part in (1, 1, 4, 4)])
    assert [m.weights for m in by_stage] == pytest.approx([2 * shape.parameters / part for part in (1, 1, 1, 4)])
    offload = DeepSpeedConfig(stage=3, offload_optimizer=True, offload_weights=True)
    offloaded = memory_of(run(deepspeed=offload), shape, workload, gpus=4)
    assert offloaded.states == 0
    assert offloaded.host == pytest.approx(4 * by_stage[3].states)


def test_lora_spares_gradients_and_states_and_not_weights(llava: Any) -> None:
    full, lora = plan(llava, run()), plan(llava, run(model=ModelConfig(lora=LoraConfig())))
    assert lora.learning < 0.06 * full.learning
    assert lora.memory.weights > full.memory.weights
    assert lora.memory.optimizer < 0.06 * full.memory.optimizer
    assert lora.hours < 0.8 * full.hours


def test_raw_deepspeed_settings_count(llava: Any) -> None:
    raw = {"zero_optimization": {"stage3_max_live_parameters": 10**8, "reduce_bucket_size": 10**7}}
    memory = plan(llava, run(deepspeed=DeepSpeedConfig(raw=raw))).memory
    assert (memory.gathered, memory.buckets) == (2 * 10**8, 2 * 10**7)


def kept_bytes(model: Any, inputs: dict[str, Any]) -> int:
    """Bytes that autograd keeps for the backward pass, besides the weights."""
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(**inputs)
    return sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in own)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("inner", "kv_heads"), [(688, 4), (512, 2)])
def test_a_gated_layer_keeps_what_the_formula_says(dtype: Any, inner: int, kv_heads: int) -> None:
    def kept(layers: int) -> int:
        config = LlamaConfig(
            hidden_size=256,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=kv_heads,
            vocab_size=64,
        )
        tokens = torch.arange(200).reshape(1, 200) % 64
        return kept_bytes(LlamaModel(config).to(dtype), {"input_ids": tokens, "use_cache": False})

    part = PartShape(width=256, inner=inner, kv_width=64 * kv_heads, gated=True)
    assert _kept_by_layer(part, dtype.itemsize, lora=False) == pytest.approx((kept(3) - kept(1)) / 2 / 200, rel=0.02)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_layer_of_the_tower_keeps_what_the_formula_says(dtype: Any) -> None:
    def kept(layers: int) -> int:
        config = CLIPVisionConfig(
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=layers,
            num_attention_heads=4,
            image_size=112,
            patch_size=14,
        )
        return kept_bytes(CLIPVisionModel(config).to(dtype), {"pixel_values": torch.rand(2, 3, 112, 112).to(dtype)})

    part = PartShape(width=128, inner=512)
    assert _kept_by_layer(part, dtype.itemsize, lora=False) == pytest.approx((kept(3) - kept(1)) / 2 / 130, rel=0.02)


def test_checkpointing_keeps_a_row_a_layer_instead_of_everything(llava: Any) -> None:
    with_it = plan(llava, run()).memory
    without = plan(llava, run(model=ModelConfig(gradient_checkpointing=False))).memory
    assert without.activations > 8 * with_it.activations


def test_gpus_are_found_by_name_and_by_the_drivers_name() -> None:
    assert parse_gpus("2xA100-80GB")[0] == 2
    for text in ("8 x h100", "H100-80GB", "h200", "L40S", "1xA10G", "RTX4090", "rtx 4090", "a100-40"):
        assert parse_gpus(text)[1] in known_gpus()
    with pytest.raises(ConfigError, match="A100-40GB, A100-80GB"):
        parse_gpus("4xA100")
    for text in ("", "0xH100", "2x", "B9000"):
        with pytest.raises(ConfigError, match="2xA100-80GB"):
            parse_gpus(text)
    devices = {
        "NVIDIA A100-SXM4-80GB": "A100-80GB",
        "NVIDIA A100-PCIE-40GB": "A100-40GB",
        "NVIDIA H100 80GB HBM3": "H100-80GB",
        "NVIDIA GeForce RTX 4090": "RTX4090-24GB",
    }
    assert {device: getattr(gpu_of_device(device), "name", None) for device in devices} == devices
    assert gpu_of_device("Some GPU") is None


def test_lengths_come_from_a_file_from_a_prepared_run_or_as_given(llava: Any, tmp_path: Path) -> None:
    said = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "x" * 1_000}]
    records = [{"id": i, "image": f"{i}.jpg", "conversations": said} for i in range(5)]
    (tmp_path / "data.json").write_text(json.dumps(records))
    read = read_workload(llava, DataConfig(path=str(tmp_path / "data.json")))
    assert (read.samples, read.pictures, read.picture.tokens) == (5, 5, 576)
    assert 576 + 200 < read.longest < 576 + 400
    with pytest.raises(InputError, match="there is no"):
        read_workload(llava, DataConfig(path=str(tmp_path / "none.json")))
    with pytest.raises(ConfigError, match="576"):
        given_workload(llava, samples=5, tokens_per_sample=500, max_length=2048)
    exact = workload_of([700, 900], pictures=2, picture=typical_picture(llava), source="here")
    assert (exact.tokens, exact.pairs, exact.longest) == (1_600, 700**2 + 900**2, 900)


def test_the_command_plans_from_a_folder_with_a_configuration_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny("llava").model.config.save_pretrained(tmp_path)
    arguments = ["train", "--model", str(tmp_path), "--samples", "1000", "--tokens-per-sample", "200"]
    result = plan_command.main([*arguments, "--gpus", "2xA100-80GB"], standalone_mode=False)
    text = capsys.readouterr().out
    assert "It fits" in text
    assert "--usd-per-gpu-hour" in text
    assert (result["status"], result["fits"], result["usd"], result["gpus"]) == ("planned", True, None, 2)
    assert json.loads(json.dumps(result)) == result
    for missing in ("nowhere", "no/such-model"):
        with pytest.raises(ConfigError, match="cannot be loaded"):
            plan_command.main(
                ["train", "--model", str(tmp_path / missing), *arguments[3:], "--gpus", "L40S"], standalone_mode=False
            )


def test_a_plan_that_does_not_fit_reads_as_such(llava: Any) -> None:
    text = train_plan_text(plan(llava, run(), "RTX4090", usd_per_gpu_hour=0.5))
    assert "It does not fit: a GPU has 24.0 GiB." in text
    assert "deepspeed.offload_optimizer: true" in text
    assert "$0.50 a GPU and hour" in text
