"""A tiny model answers for real, on a CPU."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("vllm.version")  # this folder alone would pass for a `vllm`

from tiny_model import save_tiny_llama
from vllm_runs import SMALL_ENGINE, run_of_synthetic_scenes, settings_for

from kpray.errors import ConfigError, StorageError, TeacherError
from kpray.ledger.journal import read_ledger
from kpray.pipelines.missing import all_requests, missing_requests
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.shards import ShardFiles
from kpray.pipelines.vllm_fill import FillReport, fill
from kpray.prompts import KINDS
from kpray.prompts.kind import ParseFailure
from kpray.schemas import Reply, Request
from kpray.teachers import vllm
from kpray.teachers.vllm_chat import Chat

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster"), pytest.mark.filterwarnings("ignore")]


class Run:
    """A run's scenes, requests and ledger."""

    def __init__(self, folder: Path, model: Path, *, kinds: tuple[Any, ...] = ("detailed",), **settings: Any) -> None:
        self.settings = settings_for(model, **settings)
        self.config = run_of_synthetic_scenes(folder, self.settings, kinds=kinds)
        self.files = ShardFiles.of(self.config)
        self.recipe = Recipe.of(self.config, model=vllm.model_name(self.settings), reads_scene=False)
        self.shards = range(2)

    def fill(self, **more: Any) -> FillReport:
        return fill(self.files, self.recipe, self.shards, self.settings, run="a-run", **more)

    def requests(self) -> list[Request]:
        scenes = [scene for shard in self.shards for scene in self.files.read_scenes(shard)]
        return list(all_requests(scenes, self.recipe, images=None))

    def replies(self) -> dict[str, Reply]:
        found: dict[str, Reply] = {}
        for shard in self.shards:
            scenes, _ = missing_requests(self.files, self.recipe, shard, images=None)
            found |= read_ledger(self.files.ledger, scenes).replies
        return found


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, ray_cluster: None) -> tuple[Run, FillReport]:
    run = Run(tmp_path_factory.mktemp("filled"), tiny_llama, kinds=("conversation", "detailed", "reasoning"))
    seen: list[int] = []
    report = run.fill(on_progress=lambda so_far: seen.append(so_far.new_replies))
    assert len(seen) >= 3  # batches of eight
    assert seen == sorted(seen)
    return run, report


def test_every_request_gets_a_durable_reply(filled: tuple[Run, FillReport]) -> None:
    run, report = filled
    replies = run.replies()
    assert replies.keys() == {request.request_id for request in run.requests()}
    assert (report.missing, report.new_replies, report.failed, report.reasons) == (24, 24, 0, {})
    usages = [reply.usage for reply in replies.values() if reply.usage]
    assert report.prompt_tokens == sum(usage.prompt_tokens for usage in usages)
    assert report.completion_tokens == sum(usage.completion_tokens for usage in usages)


def test_prompts_are_what_the_models_template_makes_with_one_beginning(filled: tuple[Run, FillReport]) -> None:
    run, _ = filled
    chat, replies = Chat(run.settings), run.replies()
    for request in run.requests():
        tokens = chat.tokens(request.messages)
        usage = replies[request.request_id].usage
        assert tokens.count(0) == 1  # <s>
        assert usage is not None
        assert usage.prompt_tokens == len(tokens)


def test_structured_replies_hold_to_their_own_kinds_schema_unless_they_were_cut(
    filled: tuple[Run, FillReport],
) -> None:
    run, _ = filled
    replies = run.replies()
    outcomes: Counter[str] = Counter()
    for request in run.requests():
        reply = replies[request.request_id]
        outcomes[reply.finish_reason] += 1
        if reply.finish_reason == "stop":
            assert request.response_schema is not None
            assert sorted(json.loads(reply.text)) == sorted(request.response_schema["required"])
            assert reply.usage is not None
            assert reply.usage.completion_tokens <= 400
        else:
            assert reply.finish_reason == "length"
            assert reply.usage is not None
            assert reply.usage.completion_tokens == 400
            with pytest.raises(ParseFailure):
                KINDS[request.kind].parse(reply.text, instruction="Describe.")
    assert outcomes["stop"] >= 5


def test_replies_say_who_made_them(filled: tuple[Run, FillReport]) -> None:
    run, _ = filled
    for reply in run.replies().values():
        assert reply.model == run.recipe.model.removeprefix("vllm/")
        assert reply.model.startswith("tiny-llama@")
        assert reply.usd == 0.0
        assert reply.latency_s > 0
        assert reply.error is None


def test_what_is_answered_never_reaches_the_model(
    filled: tuple[Run, FillReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = filled
    before = run.replies()
    monkeypatch.setattr(vllm, "check", lambda *_: pytest.fail("the model was about to be loaded"))
    again = run.fill()
    assert (again.missing, again.new_replies) == (0, 0)
    assert run.replies() == before


def test_a_fill_goes_on_where_replies_are_missing(tmp_path: Path, tiny_llama: Path) -> None:
    run = Run(tmp_path, tiny_llama)
    run.shards = range(1)
    first = run.fill()
    kept = run.replies()
    run.shards = range(2)
    second = run.fill()
    assert (first.new_replies, second.new_replies) == (4, 4)
    assert {request_id: run.replies()[request_id] for request_id in kept} == kept


def test_only_prompts_that_are_too_long_become_errors_and_are_not_asked_again(tmp_path: Path, tiny_llama: Path) -> None:
    run = Run(tmp_path, tiny_llama, kinds=("conversation", "detailed"))
    chat = Chat(run.settings)
    lengths = sorted(len(chat.tokens(request.messages)) for request in run.requests())
    limit = lengths[len(lengths) // 2]  # a prompt of this length leaves no room for a reply
    short = msgspec.structs.replace(run.settings.vllm, max_model_len=limit)
    sampling = msgspec.structs.replace(run.settings.sampling, max_tokens=None)
    run.settings = msgspec.structs.replace(run.settings, vllm=short, sampling=sampling)
    run.recipe = msgspec.structs.replace(run.recipe, sampling=sampling)
    report = run.fill()
    replies = run.replies()
    too_long = [reply for reply in replies.values() if reply.finish_reason == "error"]
    assert len(too_long) == sum(length >= limit for length in lengths)
    assert len(replies) == report.new_replies == 16
    assert all(reply.text == "" and f"takes {limit:,}" in (reply.error or "") for reply in too_long)
    assert all(
        r.usage and r.usage.prompt_tokens + r.usage.completion_tokens <= limit for r in replies.values() if r.usage
    )
    assert run.fill().missing == 0


def test_requests_that_vllm_refuses_are_counted_and_end_nothing(tmp_path: Path, tiny_llama: Path) -> None:
    run = Run(tmp_path, tiny_llama)
    # A value that vLLM refuses, request by request.
    sampling = msgspec.structs.replace(run.settings.sampling, top_p=7.0)
    run.recipe = msgspec.structs.replace(run.recipe, sampling=sampling)
    report = run.fill()
    assert (report.new_replies, report.failed) == (0, 8)
    assert sum(report.reasons.values()) == 8
    assert run.replies() == {}


def test_a_model_without_a_chat_template_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    model = save_tiny_llama(tmp_path / "model", template="{{ raise_exception('System role not supported') }}")
    with pytest.raises(ConfigError, match="System role not supported"):
        Run(tmp_path / "run", model).fill()


def test_a_length_that_no_prompt_fits_is_refused_before_the_model_is_loaded(tmp_path: Path, tiny_llama: Path) -> None:
    with pytest.raises(ConfigError, match="raise `teacher.vllm.max_model_len`"):
        Run(tmp_path, tiny_llama, max_model_len=450).fill()


def test_an_engine_that_cannot_start_ends_the_fill_with_its_reason(tmp_path: Path, tiny_llama: Path) -> None:
    run = Run(tmp_path, tiny_llama, engine={**SMALL_ENGINE, "no_such_argument": 1})
    with pytest.raises(TeacherError, match="no_such_argument"):
        run.fill()


def test_an_engine_that_dies_is_not_started_for_ever(tmp_path: Path) -> None:
    # vLLM has no attention for heads of this size on CPUs; it finds out with the first request.
    run = Run(tmp_path / "run", save_tiny_llama(tmp_path / "model", head_dim=16))
    with pytest.raises(TeacherError, match="running vLLM failed"):
        run.fill()
    assert run.replies() == {}


def test_a_ledger_that_cannot_be_written_ends_the_fill(tmp_path: Path, tiny_llama: Path) -> None:
    run = Run(tmp_path, tiny_llama)
    run.files = msgspec.structs.replace(run.files, ledger="/proc/kpray-ledger")  # no folder can be made there
    with pytest.raises(StorageError, match="^cannot write /proc/kpray-ledger/[^\n]*$"):
        run.fill()
