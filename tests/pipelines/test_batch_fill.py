"""Filling a ledger through the Batch API, against a server that has files and batches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import batch_run
import msgspec
import pytest
from batch_run import PRICE, BatchRun, abandon, assert_complete, in_background, wait_until
from openai_batches import BatchServer

from kpray import storage
from kpray.config import TeacherConfig
from kpray.errors import ConfigError, TeacherError, TeacherStoppedError, TeacherUnavailableError
from kpray.ledger.budget import Budget
from kpray.ledger.journal import spent
from kpray.ledger.tokens import TokenMeter
from kpray.schemas import Sampling
from kpray.teachers.completions import request_body
from kpray.teachers.openai_batch import BatchAccount


@pytest.fixture(scope="module")
def shared_server() -> Iterator[BatchServer]:
    with BatchServer() as running:
        yield running


@pytest.fixture
def server(shared_server: BatchServer) -> BatchServer:
    shared_server.reset()
    return shared_server


Make = Callable[..., BatchRun]


@pytest.fixture
def make(server: BatchServer, tmp_path: Path) -> Make:
    """Makes the run in the test's folder; called again, it is the same run in another process."""
    return lambda **settings: BatchRun(tmp_path, server.base_url, **settings)


# What is sent, and what comes of it


def test_every_request_is_answered_once(server: BatchServer, make: Make) -> None:
    run = make(max_requests=5)
    report = run.fill()
    assert server.stats()["totals"] == [5, 5, 2]
    assert (report.replies, report.submitted, report.errors, report.not_answered) == (12, 3, 0, {})
    assert_complete(run, server)


def test_a_line_holds_the_same_body_as_a_live_request(server: BatchServer, make: Make) -> None:
    run = make(shards=1, scenes=1, sampling=Sampling(temperature=0.5, seed=3, max_tokens=100))
    run.fill()
    request = run.requests()[0]
    body = json.loads(msgspec.json.encode(request_body(request, model="gpt-4o", own_server=True)))
    assert server.stats()["last_line"] == {
        "custom_id": request.request_id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }


def test_replies_cost_the_batch_price(server: BatchServer, make: Make) -> None:
    run = make()
    report = run.fill()
    for reply in run.replies().values():
        assert reply.usage is not None
        assert reply.usd == PRICE.usd(reply.usage, batch=True) == pytest.approx(PRICE.usd(reply.usage) / 2)
        assert (reply.finish_reason, reply.model) == ("stop", "gpt-4o-2024-08-06")
        assert "\u2028" in json.loads(reply.text)["description"]
    usages = [reply.usage for reply in run.replies().values() if reply.usage]
    assert report.prompt_tokens == sum(usage.prompt_tokens for usage in usages) > 0
    assert report.completion_tokens == sum(usage.completion_tokens for usage in usages) > 0
    assert report.usd == pytest.approx(sum(reply.usd or 0 for reply in run.replies().values()))
    assert spent(run.files.ledger, None, "run-1").usd == pytest.approx(report.usd)


def test_without_a_price_the_cost_is_unknown(make: Make) -> None:
    run = make()
    assert run.fill(price=None).usd is None
    assert {reply.usd for reply in run.replies().values()} == {None}


def test_a_second_call_asks_nothing(server: BatchServer, make: Make) -> None:
    make().fill()
    report = make().fill()
    assert (report.submitted, report.replies) == (0, 0)
    assert server.stats()["batches"] == 1


def test_only_what_is_missing_is_asked(server: BatchServer, make: Make) -> None:
    first = make()
    first.shards = [1]
    first.fill()
    assert make().fill().replies == 8
    assert_complete(make(), server)


def test_parts_keep_to_the_size_of_a_file(server: BatchServer, make: Make) -> None:
    run = make(max_bytes=30_000)
    run.fill()
    sizes = server.stats()["sizes"]
    assert len(sizes) > 1
    assert all(15_000 < size <= 30_000 for size in sizes[:-1])
    assert_complete(run, server)


def test_a_request_that_fits_into_no_part_is_an_error(server: BatchServer, make: Make) -> None:
    with pytest.raises(ConfigError, match=r"scene 1000 takes [\d,]+ bytes.*max_bytes` is 1,000.*max_context_chars"):
        make(max_bytes=1_000).fill()
    with pytest.raises(ConfigError, match=r"about [\d,]+ prompt tokens.*max_enqueued_tokens` is 10"):
        make(max_enqueued_tokens=10).fill()
    assert server.stats()["uploads"] == 0


def test_scenes_that_are_alike_share_a_request(
    server: BatchServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_run, "_scene", lambda number: batch_run.scene(str(1000 + number)))
    run = make()
    distinct = {request.request_id for request in run.requests()}
    assert len(distinct) < 12
    assert run.fill().submitted == 1
    assert server.stats()["totals"] == [len(distinct)]
    assert make().fill().submitted == 0  # every shard finds it in its own place


# Results of every shape


def test_results_in_any_order_repeated_strange_or_torn(server: BatchServer, make: Make) -> None:
    server.set(shuffle=True, repeat=True, strays=3, garbage=2)
    run = make()
    report = run.fill()
    assert (report.replies, report.repeated_lines, report.unknown_lines, report.unreadable_lines) == (12, 12, 3, 2)
    assert_complete(run, server)


def test_a_refusal_and_a_cut_reply_are_replies(server: BatchServer, make: Make) -> None:
    refusal = {"message": {"content": None, "refusal": "I will not."}}
    server.set(
        line_faults=[
            {"match": "Picture number 1 ", "body": refusal},
            {"match": "Picture number 2 ", "body": {"finish_reason": "length"}},
        ]
    )
    run = make()
    run.fill()
    replies = run.replies()
    ids = [request.request_id for request in run.requests()]
    assert (replies[ids[1]].finish_reason, replies[ids[1]].error) == ("refusal", "I will not.")
    assert replies[ids[2]].finish_reason == "length"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_request_that_failed_is_asked_again(server: BatchServer, make: Make, status: int) -> None:
    server.set(line_faults=[{"match": "Picture number 7 ", "status": status, "times": 2}])
    run = make()
    report = run.fill()
    assert report.not_answered == {f"status {status}, fault": 2}
    assert server.stats()["totals"] == [12, 1, 1]
    assert_complete(run, server, most=3)


@pytest.mark.parametrize("status", [400, 422])
def test_a_request_that_is_refused_as_wrong_is_not_asked_again(server: BatchServer, make: Make, status: int) -> None:
    server.set(line_faults=[{"match": "Picture number 7 ", "status": status, "message": "too long", "times": 9}])
    run = make()
    assert run.fill().errors == 1
    reply = run.replies()[run.requests()[7].request_id]
    assert (reply.finish_reason, reply.error, reply.usd) == ("error", "too long", None)
    assert make().fill().submitted == 0


def test_refused_requests_are_asked_once_more_if_told_to(server: BatchServer, make: Make) -> None:
    server.set(line_faults=[{"match": "Picture number 7 ", "status": 400, "times": 2}])
    make().fill()
    assert make(forget_errors=True).fill().submitted == 1  # still refused: once a call, and no more
    assert server.stats()["totals"] == [12, 1]
    assert make(forget_errors=True).fill().replies == 1
    assert_complete(make(), server, most=3)


# Batches that end early


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_what_an_ended_batch_answered_is_kept(server: BatchServer, make: Make, status: str) -> None:
    server.set(stop_after={"lines": 7, "status": status, "times": 1})
    run = make()
    report = run.fill()
    assert report.not_answered == {f"batch_{status}": 5}
    assert server.stats()["totals"] == [12, 5]
    assert_complete(run, server)


def test_a_batch_that_somebody_cancels(server: BatchServer, make: Make) -> None:
    server.set(line_s=0.05)
    with in_background(make()) as run:
        wait_until(lambda: server.stats()["lines"] >= 3)
        server.post("/v1/batches/batch-000000/cancel", {})
    assert server.stats()["statuses"] == {"cancelled": 1, "completed": 1}
    assert_complete(run, server)


def test_three_attempts_that_bring_nothing_are_an_error(server: BatchServer, make: Make) -> None:
    server.set(stop_after={"lines": 0, "status": "expired", "times": 3})
    run = make()
    with pytest.raises(TeacherUnavailableError, match=r"3 attempts in a row.*expired.*12 x batch_expired"):
        run.fill()
    assert server.stats()["batches"] == 3
    assert make().fill().replies == 12
    assert_complete(run, server)


def test_attempts_that_bring_something_are_not_counted(server: BatchServer, make: Make) -> None:
    server.set(stop_after={"lines": 2, "status": "expired", "times": 5})
    run = make()
    assert run.fill().submitted == 6
    assert_complete(run, server)


def test_a_batch_that_does_not_pass_validation_is_sent_again(server: BatchServer, make: Make) -> None:
    server.set(failing={"code": "internal", "message": "try again", "times": 2})
    run = make(max_requests=5)
    run.fill()
    assert server.stats()["statuses"] == {"failed": 2, "completed": 3}
    assert_complete(run, server)


def test_a_run_whose_batches_never_pass_uploads_little(server: BatchServer, make: Make) -> None:
    server.set(failing={"code": "model_not_found", "message": "no such model", "times": 99}, line_s=0.01)
    with pytest.raises(TeacherUnavailableError, match="model_not_found: no such model"):
        make(max_requests=1, max_enqueued_tokens=20_000).fill()
    assert server.stats()["uploads"] <= 3 * 12
    assert all(part["step"] == "closed" for part in make().parts())


# Room in the account's queue


def test_batches_keep_to_the_enqueued_tokens(server: BatchServer, make: Make) -> None:
    tokens = TokenMeter().prompt_tokens(make().requests()[0])
    server.set(stall_from=0)
    with in_background(make(max_enqueued_tokens=round(3.5 * tokens))) as run:
        wait_until(lambda: bool(run.progress))
        assert server.stats()["batches"] == 3
        server.set()
    assert server.stats()["peak_open"] == 3
    assert_complete(run, server)


def test_a_part_that_the_server_has_no_room_for_waits(server: BatchServer, make: Make) -> None:
    server.set(max_enqueued_tokens=8_000, line_s=0.15)
    run = make(max_requests=2)
    run.fill()
    assert server.stats()["refused"] >= 1
    assert_complete(run, server)
    names = [(mark["kpray_part"], mark["kpray_attempt"]) for mark in server.stats()["metadata"]]
    assert len(set(names)) == len(names)
    assert {mark["kpray_run"] for mark in server.stats()["metadata"]} == {"run-1"}


def test_a_part_that_is_larger_than_the_servers_queue_is_cut_anew(server: BatchServer, make: Make) -> None:
    server.set(max_enqueued_tokens=8_000)
    run = make(poll_s=0.005)
    run.fill()
    assert server.stats()["totals"][0] == 0
    assert_complete(run, server)


def test_a_queue_without_room_for_one_request_is_an_error(server: BatchServer, make: Make) -> None:
    server.set(max_enqueued_tokens=10)
    with pytest.raises(TeacherUnavailableError, match=r"no room for a single request.*Limit: 10"):
        make(shards=1, scenes=2, poll_s=0.002).fill()
    server.set()
    make(shards=1, scenes=2).fill()
    assert_complete(make(shards=1, scenes=2), server)


# Calls that fail


def test_a_batch_whose_creation_was_not_confirmed_is_taken_over(server: BatchServer, make: Make) -> None:
    server.set(drop_creates=2)
    run = make(max_requests=4)
    report = run.fill()
    assert (report.adopted, report.submitted) == (2, 1)
    assert server.stats()["batches"] == 3
    assert_complete(run, server)


def test_an_upload_that_was_not_confirmed_is_taken_over(server: BatchServer, make: Make) -> None:
    server.set(drop_uploads=2)
    run = make(max_requests=4)
    run.fill()
    assert server.stats()["uploads"] == 3
    assert_complete(run, server)


def test_the_server_is_left_alone_for_as_long_as_it_says(server: BatchServer, make: Make) -> None:
    server.set(faults=[{"path": "/v1/batches", "method": "POST", "status": 429, "retry_after": 1.5, "times": 1}])
    run = make()
    run.fill()
    refused, taken = server.stats()["create_times"]
    assert taken - refused >= 1.5
    assert_complete(run, server)


def test_looks_that_fail_do_not_matter(server: BatchServer, make: Make) -> None:
    server.set(line_s=0.02, faults=[{"path": "/v1/batches/", "method": "GET", "status": 503, "times": 6}])
    run = make()
    run.fill()
    assert any("trying again" in progress.note for progress in run.progress)
    assert_complete(run, server)


def test_downloads_that_break_are_repeated(server: BatchServer, make: Make) -> None:
    server.set(cut_downloads=2)
    run = make()
    assert run.fill().unreadable_lines == 0
    assert_complete(run, server)


def test_a_server_that_stays_away_costs_nothing(server: BatchServer, make: Make) -> None:
    run = make()
    run.settings = TeacherConfig(name="openai", mode="batch", base_url="http://127.0.0.1:9/v1", retry_for_s=0.1)
    with pytest.raises(TeacherUnavailableError, match=r"cannot reach.*start again"):
        run.fill()
    assert make().fill().replies == 12
    assert_complete(run, server)


def test_lost_results_are_an_error_until_somebody_decides(server: BatchServer, make: Make) -> None:
    server.set(lose_results=True)
    for _ in range(2):
        with pytest.raises(
            TeacherError, match=r"12 answers, which were paid for.*delete .*batches/00001.json"
        ) as caught:
            make().fill()
    assert server.stats()["batches"] == 1
    server.set()
    Path(str(caught.value).partition("delete ")[2].partition(" and start")[0]).unlink()
    assert make().fill().replies == 12


def test_results_that_never_come_are_an_error(server: BatchServer, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    look = BatchAccount.look
    monkeypatch.setattr(BatchAccount, "look", lambda *a: msgspec.structs.replace(look(*a), output_file=None))
    with pytest.raises(TeacherError, match="no file of results"):
        make().fill()


# Accounts that cannot be used


def test_a_wrong_key_stops_at_once(server: BatchServer, make: Make) -> None:
    with pytest.raises(TeacherStoppedError, match="Incorrect API key"):
        make().fill(key="sk-wrong")
    assert server.stats()["uploads"] == 0


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
def test_an_empty_account_stops_at_once(server: BatchServer, make: Make, path: str) -> None:
    server.set(faults=[{"path": path, "method": "POST", "status": 429, "code": "insufficient_quota", "times": 9}])
    with pytest.raises(TeacherStoppedError, match="no money left"):
        make().fill()
    assert server.stats()["batches"] == 0
    server.set()
    make().fill()
    assert_complete(make(), server)


def test_an_account_that_runs_out_before_a_batch_stops(server: BatchServer, make: Make) -> None:
    server.set(failing={"code": "billing_hard_limit_reached", "message": "limit", "times": 1})
    with pytest.raises(TeacherStoppedError, match="Add money"):
        make().fill()
    assert make().fill().replies == 12


def test_an_account_that_runs_out_within_a_batch_keeps_what_was_answered(server: BatchServer, make: Make) -> None:
    server.set(line_faults=[{"match": "Picture number 11 ", "status": 429, "code": "insufficient_quota", "times": 1}])
    run = make()
    with pytest.raises(TeacherStoppedError, match="No request can succeed"):
        run.fill()
    assert len(run.replies()) == 11
    assert make().fill().replies == 1


# Money


def test_a_budget_ends_the_run_cleanly(server: BatchServer, make: Make) -> None:
    run, budget = make(), Budget(0.01)
    report = run.fill(budget=budget)
    assert report.budget_spent
    assert 0 < len(run.replies()) < 12
    assert budget.spent == pytest.approx(report.usd)
    assert budget.spent <= budget.limit
    assert budget.reserved == 0
    worst = max(part["usd"] / part["requests"] for part in run.parts())
    assert budget.limit - budget.spent < worst
    assert not make().fill(budget=Budget(1.0, spent=budget.spent)).budget_spent
    assert_complete(run, server)


def test_nothing_is_sent_that_does_not_fit(server: BatchServer, make: Make) -> None:
    assert make().fill(budget=Budget(0.000_01)).budget_spent
    assert server.stats()["uploads"] == 0
    assert make().parts() == []


def test_a_part_that_waits_to_be_sent_is_cut_anew_when_the_budget_is_lowered(server: BatchServer, make: Make) -> None:
    server.set(faults=[{"path": "/v1/files", "method": "POST", "status": 403, "times": 1}])
    with pytest.raises(TeacherStoppedError):
        make().fill(budget=Budget(1.0))
    report = make().fill(budget=Budget(0.005))
    assert report.budget_spent
    assert 0 < server.stats()["totals"][0] < 12


def test_what_is_at_the_server_counts_although_the_budget_was_lowered(server: BatchServer, make: Make) -> None:
    first = make()
    first.shards = [0, 1]
    abandon(first)
    budget = Budget(0.001)
    report = make().fill(budget=budget)
    assert report.replies == 8
    assert report.budget_spent
    assert budget.spent == pytest.approx(report.usd)
    assert budget.spent > budget.limit


def test_a_budget_needs_a_price(make: Make) -> None:
    with pytest.raises(ConfigError, match="needs the price of gpt-4o"):
        make().fill(price=None, budget=Budget(1.0))


# While it works


def test_a_finished_part_is_collected_while_others_run(server: BatchServer, make: Make) -> None:
    server.set(stall_from=1)
    with in_background(make(max_requests=4)) as run:
        wait_until(lambda: len(run.replies()) == 4)
        assert server.stats()["statuses"] == {"completed": 1, "in_progress": 2}
        server.set()
    assert_complete(run, server)


def test_the_progress_tells_of_every_batch(server: BatchServer, make: Make) -> None:
    server.set(line_s=0.02)
    run = make(max_requests=8)
    run.fill()
    lines = [line for progress in run.progress for line in progress.lines()]
    assert any(line.startswith("batch 00001 (batch-000000): in_progress, ") for line in lines)
    assert any(line.endswith("of 4 done") for line in lines)
    assert run.progress[-1].replies == 12


def test_everything_may_lie_in_an_object_store(server: BatchServer, s3_url: str) -> None:
    run = BatchRun(storage.join(s3_url, "batch-run"), server.base_url, max_requests=5)
    abandon(run)
    assert run.fill().replies == 12
    assert_complete(run, server)
    assert not [name for name in storage.list_files(storage.join(run.files.run, "batches")) if "jsonl" in name]
