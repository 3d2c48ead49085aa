# ruff: noqa: E402 - what needs torch is imported where torch is there
from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("deepspeed")
pytest.importorskip("peft")

import msgspec
from export_run import example
from safetensors import safe_open
from tiny_families import tiny
from transformers import AutoModelForImageTextToText, GenerationConfig

from kpray import storage
from kpray.cli.export import export as export_command
from kpray.errors import ConfigError, InputError, StorageError
from kpray.training import weights as weights_module
from kpray.training.config import DataConfig, DeepSpeedConfig, LoraConfig, ModelConfig, OptimConfig, TrainConfig
from kpray.training.export import export, push
from kpray.training.families import load_processor
from kpray.training.manifest import TrainManifest, identity_of, versions, write_train_manifest
from kpray.training.metrics import StepMetrics, metrics_path
from kpray.training.weights import public_name

WORKER = Path(__file__).with_name("export_run.py")


class Case(NamedTuple):
    model_type: str
    stage: Any
    world: int
    frozen: tuple[Any, ...]
    lora: LoraConfig | None = None


class Run(NamedTuple):
    case: Case
    config: TrainConfig
    logits: torch.Tensor


CASES = {
    "llava": Case("llava", 3, 2, ("vision",)),
    "lora": Case("llava", 3, 1, ("vision",), LoraConfig(rank=4, alpha=8)),
    "llava_next": Case("llava_next", 0, 1, ("vision",)),
    "qwen2_vl": Case("qwen2_vl", 2, 1, ()),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    return {}


def trained(runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory, name: str) -> Run:
    """A short run of a case, made once."""
    if name not in runs:
        runs[name] = _train(CASES[name], tmp_path_factory.mktemp(name))
    return runs[name]


def _train(case: Case, folder: Path) -> Run:
    model, processor = tiny(case.model_type)
    model.save_pretrained(folder / "base")
    processor.save_pretrained(folder / "base")
    config = TrainConfig(
        out=str(folder / "run"),
        data=DataConfig(path="data.json"),
        model=ModelConfig(name=str(folder / "base"), frozen=case.frozen, lora=case.lora, dtype="float32"),
        optim=OptimConfig(lr=3e-2, batch_size=1, accumulation=1),
        deepspeed=DeepSpeedConfig(stage=case.stage),
    )
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    _work(case.world, [str(folder / "config.json")], str(folder / "logits.pt"))
    _note(config)
    return Run(case, config, torch.load(folder / "logits.pt"))


def _work(world: int, before: list[str], logits: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "PYTHONPATH": str(WORKER.parent), "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, str(WORKER), *before, str(rank), str(world), port, logits],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        for rank in range(world)
    ]
    for worker in workers:
        said, _ = worker.communicate(timeout=240)
        assert worker.returncode == 0, said[-3_000:]


def _note(config: TrainConfig) -> None:
    data = {"fingerprint": "f00d", "records": 8, "tokens": 900, "supervised": 200, "skipped": {"too_long": 1}}
    write_train_manifest(TrainManifest(config, identity_of(config), versions(), 2, data, steps=3))
    steps = [
        StepMetrics(step, 4.0 - step, {"language": 1e-3}, 1.0, 1, 100, 20, 1.0, 0.0, 100.0, 1.0, 0.1)
        for step in (1, 2, 3)
    ]
    storage.write_bytes(metrics_path(config.out), b"".join(msgspec.json.encode(step) + b"\n" for step in steps))


@pytest.mark.parametrize("name", list(CASES))
def test_the_folder_loads_with_nothing_missing_and_gives_the_logits_of_the_trained_weights(
    name: str, runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    run = trained(runs, tmp_path_factory, name)
    done = export(run.config.out, str(tmp_path / "model"))
    assert (done.step, done.adapter) == (2, False)
    model, info = AutoModelForImageTextToText.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    model.eval()
    batch = example(str(tmp_path / "model"))  # made by the exported processor
    with torch.no_grad():
        logits = model(**batch).logits
        base = AutoModelForImageTextToText.from_pretrained(run.config.model.name).eval()(**batch).logits
    torch.testing.assert_close(logits, run.logits, atol=2e-5, rtol=1e-4)
    assert (base - run.logits).abs().max() > 0.05  # so that equal means something


@pytest.mark.parametrize(
    ("name", "some"),
    [
        (
            "llava",
            {
                "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
                "language_model.model.layers.1.mlp.up_proj.weight",
                "language_model.lm_head.weight",
                "multi_modal_projector.linear_1.bias",
            },
        ),
        ("llava_next", {"image_newline", "language_model.lm_head.weight"}),
        ("qwen2_vl", {"visual.merger.mlp.0.weight", "model.layers.0.self_attn.q_proj.bias", "lm_head.weight"}),
    ],
)
def test_names_in_the_files_are_those_of_the_published_models(
    name: str, some: set[str], runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    export(trained(runs, tmp_path_factory, name).config.out, str(tmp_path / "model"))
    with safe_open(tmp_path / "model" / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
    assert some <= names
    assert not any(name.startswith(("model.vision", "model.language", "base_model")) for name in names)


def test_everything_that_a_server_needs_lies_in_the_folder(
    runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    run = trained(runs, tmp_path_factory, "llava")
    export(run.config.out, str(tmp_path / "model"))
    there = {path.name for path in (tmp_path / "model").iterdir()}
    assert there >= {"config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja", "loss.png"}
    assert GenerationConfig.from_pretrained(tmp_path / "model") is not None
    assert load_processor(str(tmp_path / "model")).chat_template
    lineage = json.loads((tmp_path / "model" / "lineage.json").read_text())
    assert lineage["dataset"]["fingerprint"] == "f00d"
    assert (lineage["step"], lineage["steps"], lineage["workers"]) == (2, 3, 2)
    assert lineage["checkpoint"] == "checkpoints/step-00000002-0a"
    assert lineage["config"]["optim"]["lr"] == 3e-2
    assert lineage["trained_with"]["deepspeed"]
    card = (tmp_path / "model" / "README.md").read_text()
    assert "2 of 3" in card
    assert "f00d" in card


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks by the old name
def test_an_adapter_alone_on_the_base_model_gives_the_same_logits(
    runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    from peft import PeftModel

    run = trained(runs, tmp_path_factory, "lora")
    done = export(run.config.out, str(tmp_path / "adapter"), merge_lora=False)
    assert done.adapter
    base = AutoModelForImageTextToText.from_pretrained(run.config.model.name)
    whole = sum(parameter.nbytes for parameter in base.parameters())
    assert 0 < done.bytes < whole
    model = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    with torch.no_grad():
        logits = model(**example(run.config.model.name)).logits
    torch.testing.assert_close(logits, run.logits, atol=2e-5, rtol=1e-4)


def test_many_files_are_written_one_after_the_other_and_load_as_one_model(
    runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(runs, tmp_path_factory, "llava")
    monkeypatch.setattr(weights_module, "LARGEST_FILE", 60_000)
    export(run.config.out, str(tmp_path / "model"))
    files = sorted(path.name for path in (tmp_path / "model").glob("*.safetensors"))
    assert len(files) > 3
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    model, info = AutoModelForImageTextToText.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not info["missing_keys"]
    with torch.no_grad():
        logits = model.eval()(**example(run.config.model.name)).logits
    torch.testing.assert_close(logits, run.logits, atol=2e-5, rtol=1e-4)


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(runs, tmp_path_factory, "llava")
    out = str(tmp_path / "model")
    with pytest.raises(InputError, match=r"run\.json"):
        export(str(tmp_path / "nowhere"), out)
    with pytest.raises(ConfigError, match="without LoRA"):
        export(run.config.out, out, merge_lora=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    with pytest.raises(ConfigError, match="not empty"):
        export(run.config.out, str(tmp_path / "full"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="HF_TOKEN"):
        push(out, "me/model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_a_half_written_or_damaged_checkpoint_is_not_exported(
    runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    import shutil

    run = trained(runs, tmp_path_factory, "llava")
    copy = tmp_path / "run"
    shutil.copytree(run.config.out, copy)
    checkpoint = next((copy / "checkpoints").iterdir())
    assert export(str(checkpoint), str(tmp_path / "one")).checkpoint == str(checkpoint)
    states = next(checkpoint.glob("ds/*_optim_states.pt"))
    states.write_bytes(b"\0" * states.stat().st_size)  # as long as before
    with pytest.raises(StorageError, match="cannot be read"):
        export(str(copy), str(tmp_path / "two"))
    states.unlink()
    with pytest.raises(InputError, match="no complete checkpoint"):
        export(str(copy), str(tmp_path / "two"))
    assert not (tmp_path / "two").exists()


def test_the_command_tells_where_the_model_is(
    runs: dict[str, Run],
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = trained(runs, tmp_path_factory, "llava")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="HF_TOKEN"):
        export_command.main([run.config.out, "--out", str(tmp_path / "m"), "--push", "me/m"], standalone_mode=False)
    assert not (tmp_path / "m").exists()  # looked at before the work
    result = export_command.main([run.config.out, "--out", str(tmp_path / "m")], standalone_mode=False)
    assert "model after step 2" in capsys.readouterr().out
    assert (result["status"], result["step"], result["out"]) == ("complete", 2, str(tmp_path / "m"))


def test_weights_that_are_one_in_the_model_are_written_once(tmp_path: Path) -> None:
    tied = tiny("qwen2_vl").model.config.__class__.from_dict(
        tiny("qwen2_vl").model.config.to_dict() | {"tie_word_embeddings": True}
    )
    tied.text_config.tie_word_embeddings = True
    model = AutoModelForImageTextToText.from_config(tied)
    with torch.device("meta"):
        shapes = {name: p.data for name, p in AutoModelForImageTextToText.from_config(tied).named_parameters()}
    assert "lm_head.weight" not in shapes
    weights = {name: p.detach().clone for name, p in model.named_parameters()}
    weights_module.write_weights(weights, shapes, tmp_path, name_of=lambda name: public_name(name, tied))
    tied.save_pretrained(tmp_path)
    loaded, info = AutoModelForImageTextToText.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    torch.testing.assert_close(loaded.lm_head.weight, model.model.language_model.embed_tokens.weight)
