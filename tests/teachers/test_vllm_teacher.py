"""What is known about a local model before it is loaded, and rows from requests and back; vLLM is not needed."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from kpray.config import TeacherConfig, VllmConfig
from kpray.errors import ConfigError, TeacherError
from kpray.schemas import Message, Request, Sampling, Usage
from kpray.teachers import vllm
from kpray.teachers.vllm_chat import ERROR, TOO_LONG, sampling_params, to_reply, to_row

SCHEMA = {"type": "object", "properties": {"description": {"type": "string"}}, "required": ["description"]}
MESSAGES = (Message("system", "Describe."), Message("user", "person: [0.1, 0.2, 0.3, 0.4]"))


def request(schema: dict[str, Any] | None = SCHEMA, **sampling: Any) -> Request:
    return Request("detailed", "7", MESSAGES, "vllm/tiny@0", Sampling(**sampling), schema)


class Words:
    """Stands in for `Chat`: a token for every word."""

    def __init__(self) -> None:
        self.length = 20
        self.defaults = {"temperature": 0.6}

    def tokens(self, messages: tuple[Message, ...]) -> list[int]:
        return [len(word) for message in messages for word in message.content.split()]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": 4096, "dtype": "bfloat16"}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(1 << 20))
    return folder


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vLLM for GPUs seems to be there."""
    monkeypatch.setattr(vllm, "is_installed", lambda: True)
    monkeypatch.setattr(vllm, "is_cpu_build", lambda: False)


@pytest.fixture
def installed_for_cpus(installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "is_cpu_build", lambda: True)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of 1 MiB seems to be there."""
    properties = SimpleNamespace(total_memory=1 << 20)
    fake = SimpleNamespace(is_available=lambda: True, get_device_properties=lambda index: properties)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=fake))


def settings(model: Path | str, sampling: Sampling | None = None, **own: Any) -> TeacherConfig:
    return TeacherConfig(name="vllm", model=str(model), sampling=sampling or Sampling(), vllm=VllmConfig(**own))


def name(model: Path | str, **own: Any) -> str:
    return vllm.model_name(settings(model, **own))


def test_a_folders_name_carries_a_fingerprint(model: Path, tmp_path: Path) -> None:
    first = name(model)
    prefix, _, digest = first.partition("@")
    assert (prefix, len(digest)) == ("vllm/tiny", 12)
    assert name(f"{model}/") == first
    elsewhere = tmp_path / "copies" / "tiny"
    elsewhere.parent.mkdir()
    model.rename(elsewhere)
    assert name(elsewhere) == first


@pytest.mark.parametrize(
    "changed",
    [slice(0, 64), slice(1 << 19, (1 << 19) + (1 << 17)), slice((1 << 20) - 64, 1 << 20)],
    ids=["header", "a tensor in the middle", "the last numbers"],
)
def test_another_checkpoint_of_the_same_shape_has_another_name(model: Path, changed: slice) -> None:
    before = name(model)
    trained = bytearray(1 << 20)
    trained[changed] = b"\1" * (changed.stop - changed.start)  # sizes and names stay as they were
    (model / "model.safetensors").write_bytes(trained)
    assert name(model) != before


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"])
def test_what_decides_replies_besides_the_weights_is_part_of_the_name(model: Path, file: str) -> None:
    before = name(model)
    (model / file).write_text('{"changed": true}')
    assert name(model) != before


def test_files_and_settings_that_change_no_reply_leave_the_name_alone(model: Path) -> None:
    before = name(model)
    (model / "README.md").write_text("A model.")
    assert name(model, engine={"max_num_seqs": 8}, batch_size=4) == before


def test_engine_arguments_that_make_another_model_change_the_name(model: Path) -> None:
    assert name(model, engine={"quantization": "fp8"}) != name(model)
    assert name("org/model", engine={"revision": "v2"}) != name("org/model") == "vllm/org/model"


@pytest.mark.parametrize("found", [None, SimpleNamespace(origin=None)], ids=["nothing", "a folder of that name"])
def test_without_vllm_the_error_says_how_to_install_it(
    model: Path, monkeypatch: pytest.MonkeyPatch, found: SimpleNamespace | None
) -> None:
    monkeypatch.setattr(vllm.importlib.util, "find_spec", lambda name: found)
    with pytest.raises(TeacherError, match="make venv-vllm"):
        vllm.check(settings(model), gpus=1)


@pytest.mark.usefixtures("installed")
class TestCheckOnGpus:
    def test_a_gpu_build_needs_a_gpu(self, model: Path) -> None:
        with pytest.raises(TeacherError, match="needs a GPU and the cluster has none"):
            vllm.check(settings(model), gpus=0)

    @pytest.mark.parametrize("own", [{"tensor_parallel": 4}, {"replicas": 4}, {"tensor_parallel": 2, "replicas": 2}])
    def test_more_gpus_than_there_are_is_a_setting_to_mend(self, model: Path, own: dict[str, int]) -> None:
        with pytest.raises(ConfigError, match="the cluster has 2; lower"):
            vllm.check(settings(model, **own), gpus=2)

    @pytest.mark.usefixtures("cuda")
    def test_a_model_larger_than_the_gpus_memory_is_refused(self, model: Path) -> None:
        with pytest.raises(TeacherError, match=r"tiny needs about .* GiB .* 90% of 1 GPU"):
            vllm.check(settings(model), gpus=2)

    @pytest.mark.usefixtures("cuda")
    def test_it_may_fit_over_two_gpus_or_after_quantizing_or_in_half_the_bytes(self, model: Path) -> None:
        vllm.check(settings(model, tensor_parallel=2), gpus=2)
        vllm.check(settings(model, engine={"quantization": "fp8"}), gpus=2)
        (model / "config.json").write_text(json.dumps({"torch_dtype": "float32"}))
        vllm.check(settings(model), gpus=2)
        with pytest.raises(TeacherError, match="needs about"):
            vllm.check(settings(model, dtype="float32"), gpus=2)


@pytest.mark.usefixtures("installed_for_cpus")
class TestCheckOnCpus:
    def test_a_whole_model_passes(self, model: Path) -> None:
        vllm.check(settings(model, Sampling(max_tokens=1000)), gpus=0)

    @pytest.mark.parametrize("name", ["/models/none", "./none", "~/none", "a/b/c"])
    def test_a_path_that_is_not_there(self, name: str) -> None:
        with pytest.raises(TeacherError, match=f"there is no folder {name}"):
            vllm.check(settings(name), gpus=0)

    def test_a_hubs_name_passes(self) -> None:
        vllm.check(settings("Qwen/Qwen2.5-7B-Instruct"), gpus=0)

    @pytest.mark.parametrize(
        ("file", "lacks"),
        [("config.json", "config.json"), ("tokenizer.json", "a tokenizer"), ("model.safetensors", "weights")],
    )
    def test_an_incomplete_folder_is_refused_with_what_it_lacks(self, model: Path, file: str, lacks: str) -> None:
        (model / file).unlink()
        with pytest.raises(TeacherError, match=f"tiny lacks {lacks} .found: "):
            vllm.check(settings(model), gpus=0)

    def test_a_configuration_that_is_not_json(self, model: Path) -> None:
        (model / "config.json").write_text("{")
        with pytest.raises(TeacherError, match=r"config\.json is not JSON"):
            vllm.check(settings(model), gpus=0)

    def test_a_model_larger_than_the_memory_is_refused(self, model: Path) -> None:
        with (model / "model.safetensors").open("r+b") as weights:
            weights.truncate(1 << 43)  # 8 TiB of nothing
        with pytest.raises(TeacherError, match="this machine's memory"):
            vllm.check(settings(model), gpus=0)

    def test_a_cpu_takes_no_part_of_a_model(self, model: Path) -> None:
        with pytest.raises(ConfigError, match="`teacher.vllm.tensor_parallel` is 2"):
            vllm.check(settings(model, tensor_parallel=2), gpus=0)

    def test_a_length_beyond_the_models_own(self, model: Path) -> None:
        with pytest.raises(ConfigError, match="made for 4,096 tokens"):
            vllm.check(settings(model, max_model_len=8192), gpus=0)

    def test_a_reply_that_leaves_no_room_for_a_prompt(self, model: Path) -> None:
        with pytest.raises(ConfigError, match="no prompt fits"):
            vllm.check(settings(model, Sampling(max_tokens=2048), max_model_len=2048), gpus=0)

    def test_a_length_is_found_where_a_vision_language_model_has_it(self, model: Path) -> None:
        (model / "config.json").write_text(json.dumps({"text_config": {"max_position_embeddings": 512}}))
        with pytest.raises(ConfigError, match="made for 512 tokens"):
            vllm.check(settings(model, max_model_len=1024), gpus=0)

    def test_engine_arguments_that_kpray_sets_are_refused(self, model: Path) -> None:
        with pytest.raises(ConfigError, match=r"engine.max_model_len`: set `teacher\.vllm\.max_model_len` instead"):
            vllm.check(settings(model, engine={"max_model_len": 10}), gpus=0)


@pytest.mark.parametrize(
    ("version", "cpu"), [("0.31.0", False), ("0.31.0+cpu", True), (None, True)], ids=["gpu", "cpu", "other name"]
)
def test_a_cpu_build_is_known_by_its_version(monkeypatch: pytest.MonkeyPatch, version: str | None, cpu: bool) -> None:
    def find(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(vllm.importlib.metadata, "version", find)
    assert vllm.is_cpu_build() is cpu


def test_the_engine_gets_the_settings_and_a_modest_cache_only_on_cpus(model: Path) -> None:
    own = settings(model, tensor_parallel=2, dtype="half", engine={"max_num_seqs": 8})
    on_gpus = vllm.engine_arguments(own, length=2048, gpus=2)
    assert on_gpus == {
        "tensor_parallel_size": 2,
        "max_model_len": 2048,
        "dtype": "half",
        "gpu_memory_utilization": 0.9,
        "max_num_seqs": 8,
    }
    on_cpus = vllm.engine_arguments(settings(model), length=2048, gpus=0)
    assert on_cpus["kv_cache_memory_bytes"] == 4 << 30
    assert "enable_chunked_prefill" not in on_cpus
    seeded = settings(model, Sampling(seed=1), engine={"kv_cache_memory_bytes": 1 << 20})
    on_cpus = vllm.engine_arguments(seeded, length=2048, gpus=0)
    assert (on_cpus["kv_cache_memory_bytes"], on_cpus["enable_chunked_prefill"]) == (1 << 20, False)


def test_sampling_takes_the_requests_values_before_the_models_and_leaves_out_none() -> None:
    params = sampling_params(request(None, temperature=0.2, seed=5), room=99, defaults={"temperature": 0.6, "top_k": 9})
    assert params == {"temperature": 0.2, "seed": 5, "top_k": 9, "max_tokens": 99}


@pytest.mark.parametrize(
    ("asked", "default", "expected"), [(None, None, 99), (40, None, 40), (500, None, 99), (None, 60, 60), (70, 60, 70)]
)
def test_the_room_that_is_left_bounds_a_reply(asked: int | None, default: int | None, expected: int) -> None:
    defaults = {} if default is None else {"max_tokens": default}
    assert sampling_params(request(max_tokens=asked), room=99, defaults=defaults)["max_tokens"] == expected


def test_a_row_holds_tokens_sampling_and_the_schema_as_text() -> None:
    asked = request(max_tokens=50)
    row = to_row(asked, Words())  # type: ignore[arg-type]
    params = row["sampling_params"]
    assert row == {
        "asked": asked.request_id,
        "tokenized_prompt": [9, 7, 5, 4, 4, 4],
        "sampling_params": params,
        ERROR: "",
    }
    assert (params["temperature"], params["max_tokens"]) == (0.6, 14)
    assert json.loads(params["structured_outputs"]["json"]) == SCHEMA


def test_all_rows_of_a_run_have_the_same_keys_and_no_empty_values() -> None:
    long = msgspec.structs.replace(request(), messages=(Message("user", "word " * 20),))
    good, bad = (to_row(each, Words())["sampling_params"] for each in (request(), long))  # type: ignore[arg-type]
    assert good.keys() == bad.keys()
    assert all(type(value) is type(bad[key]) and value is not None for key, value in good.items())


def test_a_prompt_without_room_for_a_reply_is_an_error_that_is_not_asked_again() -> None:
    long = msgspec.structs.replace(request(), messages=(Message("user", "word " * 20),))
    row = to_row(long, Words())  # type: ignore[arg-type]
    assert row[ERROR] == f"{TOO_LONG}: the prompt has 20 tokens and the model takes 20 with the reply"
    reply = to_reply(row, model="tiny", ends={1})
    assert reply is not None
    assert (reply.request_id, reply.finish_reason, reply.text, reply.usage) == (long.request_id, "error", "", None)
    assert "20 tokens" in (reply.error or "")


def test_a_template_that_fails_is_a_fault_of_its_row_alone() -> None:
    class Refusing(Words):
        def tokens(self, messages: tuple[Message, ...]) -> list[int]:
            raise ValueError("System role not supported")

    row = to_row(request(), Refusing())  # type: ignore[arg-type]
    assert row[ERROR] == "template_failed: ValueError: System role not supported"
    assert to_reply(row, model="tiny", ends={1}) is None


def answered(**changes: Any) -> dict[str, Any]:
    row = {
        "asked": "an-id",
        ERROR: "",
        "generated_text": "text",
        "generated_tokens": [7, 8, 1],
        "num_input_tokens": 5,
        "num_generated_tokens": 3,
        "time_taken_llm": 0.5,
    }
    return {**row, **changes}


@pytest.mark.parametrize(
    ("tokens", "finish_reason"), [([7, 8, 1], "stop"), ([7, 1, 8], "length"), ([], "length"), ([7, 2], "stop")]
)
def test_a_reply_that_ends_with_an_end_token_stopped_by_itself(tokens: list[int], finish_reason: str) -> None:
    reply = to_reply(answered(generated_tokens=tokens), model="tiny@0", ends={1, 2})
    assert reply is not None
    assert reply.finish_reason == finish_reason


def test_a_reply_keeps_what_the_engine_counted() -> None:
    reply = to_reply(answered(), model="tiny@0", ends={1})
    assert reply is not None
    assert (reply.request_id, reply.text, reply.model) == ("an-id", "text", "tiny@0")
    assert (reply.usage, reply.usd, reply.latency_s, reply.error) == (Usage(5, 3), 0.0, 0.5, None)


def test_a_row_that_failed_in_the_engine_is_no_reply() -> None:
    assert to_reply(answered(**{ERROR: "ValueError: top_p"}), model="tiny", ends={1}) is None
