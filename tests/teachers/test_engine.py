from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from openai_server import KEY, OpenAIServer

from kpray.config import TeacherConfig
from kpray.errors import BudgetSpentError, TeacherBusyError, TeacherStoppedError, TeacherUnavailableError
from kpray.ledger.journal import Journal, Known, SceneRange, read_ledger
from kpray.ledger.limits import LocalGate, RateLimiter, ServerLimits
from kpray.schemas import Message, Reply, Request, Sampling, Scene, Usage
from kpray.teachers.engine import Engine, Outcome
from kpray.teachers.openai import OpenAITeacher, Secret
from kpray.teachers.protocol import Teacher

SCENES = SceneRange("1", "9")
NOTHING = Known({}, frozenset())


def request(text: str) -> Request:
    return Request("detailed", "1", (Message("user", text),), "openai/gpt-4o", Sampling())


def reply_to(request: Request, text: str) -> Reply:
    return Reply(request.request_id, text, "stop", Usage(10, 5), None, 0.0, "m", "2026-01-01T00:00:00+00:00")


class ScriptedTeacher:
    """Answers with the request's own text; some words in it make it fail."""

    name = "script"
    model = "script/1"
    reads_scene = False
    server_limits: ServerLimits | None = None

    def __init__(self, latency_s: float = 0.001) -> None:
        self.asked: list[str] = []
        self.at: list[float] = []
        self.latency_s = latency_s
        self.under_way = 0
        self.peak = 0

    async def preflight(self) -> None: ...

    async def aclose(self) -> None: ...

    def prepare(self, scenes: Sequence[Scene]) -> None: ...

    async def ask(self, request: Request) -> Reply:
        text = request.messages[-1].content
        self.asked.append(text)
        self.at.append(time.monotonic())
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        try:
            await asyncio.sleep(self.latency_s)
        finally:
            self.under_way -= 1
        if "always busy" in text or ("busy once" in text and self.asked.count(text) == 1):
            raise TeacherBusyError("busy", overloaded=True)
        if "wait" in text and self.asked.count(text) == 1:
            raise TeacherBusyError("wait", retry_after_s=0.6)
        if "unavailable" in text:
            raise TeacherUnavailableError("not this one")
        if "stop" in text:
            raise TeacherStoppedError("no quota")
        if "bug" in text:
            raise ValueError("a bug")
        return reply_to(request, text)


class PurseOf:
    """Money for so many requests."""

    def __init__(self, requests: int) -> None:
        self.left = requests
        self.settled: list[Reply | None] = []

    async def reserve(self, request: Request) -> float:
        if not self.left:
            raise BudgetSpentError("spent")
        self.left -= 1
        return 1.0

    def settle(self, reserved: float, reply: Reply | None) -> None:
        assert reserved == 1.0
        self.settled.append(reply)


class Listening(LocalGate):
    """A gate that remembers what it was told and may be slow."""

    def __init__(self, wait_s: float = 0.0) -> None:
        super().__init__()
        self.wait_s = wait_s
        self.told: list[Any] = []

    async def enter(self, tokens: int) -> None:
        await asyncio.sleep(self.wait_s)
        await super().enter(tokens)

    def settle(self, estimated: int, actual: int) -> None:
        self.told.append(("settle", estimated > 0, actual))

    def learn(self, limits: ServerLimits) -> None:
        self.told.append(limits)


class Asking:
    """An engine with a journal, for one test."""

    def __init__(self, ledger: Path, teacher: Teacher | None = None, *, in_flight: int = 4, **options: Any) -> None:
        self.ledger = str(ledger)
        self.teacher = teacher or ScriptedTeacher()
        self.heard: list[tuple[str, str]] = []
        self.engine = Engine(self.teacher, in_flight=in_flight, on_reply=self._on_reply, **options)
        self.journal = Journal(self.ledger, SCENES, run="r")

    def _on_reply(self, request: Request, reply: Reply) -> None:
        assert reply.request_id in read_ledger(self.ledger, SCENES).replies  # durable before anybody hears of it
        self.heard.append((request.messages[-1].content, reply.text))

    async def answer(self, texts: Iterable[str], known: Known = NOTHING) -> list[Outcome]:
        try:
            return await self.engine.answer((request(t) for t in texts), known=known, journal=self.journal)
        finally:
            await self.teacher.aclose()

    def __call__(self, texts: Iterable[str], known: Known = NOTHING) -> list[str]:
        outcomes = asyncio.run(self.answer(texts, known))
        self.journal.close()
        return names(outcomes)

    def kept(self) -> list[str]:
        return sorted(reply.text for reply in read_ledger(self.ledger, SCENES).replies.values())

    def in_doubt(self) -> int:
        return len(read_ledger(self.ledger, SCENES).in_doubt)


def names(outcomes: Iterable[Outcome]) -> list[str]:
    return [o.text if isinstance(o, Reply) else type(o).__name__ for o in outcomes]


# --- order, bounds, what is known ---------------------------------------------------------------------------------


def test_replies_come_back_in_the_order_of_the_requests_and_are_in_the_ledger(tmp_path: Path) -> None:
    asking = Asking(tmp_path)
    wanted = [f"text {i}" for i in range(50)]
    assert asking(wanted) == wanted
    assert asking.kept() == sorted(wanted) == sorted(text for text, _ in asking.heard)
    assert asking.in_doubt() == 0


def test_never_more_in_flight_than_allowed_and_the_window_is_filled(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    Asking(tmp_path, teacher, in_flight=7)(str(i) for i in range(40))
    assert teacher.peak == 7


def test_what_is_known_is_not_asked(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    known = Known({request("b").request_id: reply_to(request("b"), "known b")}, frozenset())
    assert Asking(tmp_path, teacher)(["a", "b", "c"], known) == ["a", "known b", "c"]
    assert teacher.asked == ["a", "c"]


def test_equal_requests_are_asked_once(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    assert Asking(tmp_path, teacher)(["a", "a", "b", "a"]) == ["a", "a", "b", "a"]
    assert sorted(teacher.asked) == ["a", "b"]


def test_requests_are_rendered_as_places_come_free(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    ahead: list[int] = []

    def render() -> Iterator[str]:
        for i in range(30):
            ahead.append(i - len(teacher.asked))
            yield str(i)

    Asking(tmp_path, teacher, in_flight=5)(render())
    assert max(ahead) <= 5


def test_what_was_sent_before_and_is_asked_again_is_counted(tmp_path: Path) -> None:
    asking = Asking(tmp_path)
    asking(["a", "busy once", "b"], Known({}, frozenset({request("a").request_id, request("x").request_id})))
    assert asking.engine.asked_again == 1
    assert asking.engine.retried == 1


def test_a_request_is_noted_before_it_goes_out(tmp_path: Path) -> None:
    class Teacher(ScriptedTeacher):
        async def ask(self, request: Request) -> Reply:
            assert request.request_id in read_ledger(str(tmp_path), SCENES).in_doubt
            return await super().ask(request)

    asking = Asking(tmp_path, Teacher())
    assert asking(["a", "unavailable"]) == ["a", "TeacherUnavailableError"]
    assert asking.in_doubt() == 1


# --- failures -----------------------------------------------------------------------------------------------------


def test_one_failure_takes_nothing_else_along(tmp_path: Path) -> None:
    asking = Asking(tmp_path)
    outcomes = asyncio.run(asking.answer(["a", "unavailable", "b", "bug", "c"]))
    assert names(outcomes) == ["a", "TeacherUnavailableError", "b", "TeacherUnavailableError", "c"]
    assert "ValueError: a bug" in str(outcomes[3])
    assert asking.kept() == ["a", "b", "c"]


def test_what_passes_is_tried_again(tmp_path: Path) -> None:
    asking = Asking(tmp_path)
    assert asking(["a", "busy once", "b"]) == ["a", "busy once", "b"]
    assert asking.engine.retried == 1
    assert asking.engine.window.size < 4


def test_what_does_not_pass_is_left_for_later(tmp_path: Path) -> None:
    asking = Asking(tmp_path, retry_for_s=0.5)
    outcomes = asyncio.run(asking.answer(["a", "always busy", "b"]))
    assert names(outcomes) == ["a", "TeacherUnavailableError", "b"]
    assert "attempts: busy. The next run asks again" in str(outcomes[1])


def test_without_time_for_retries_there_is_one_attempt(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    assert Asking(tmp_path, teacher, retry_for_s=0)(["busy once"]) == ["TeacherUnavailableError"]
    assert len(teacher.asked) == 1


def test_waiting_at_the_gate_does_not_count_as_failing(tmp_path: Path) -> None:
    assert Asking(tmp_path, gate=Listening(wait_s=1.5), retry_for_s=1.0)(["busy once"]) == ["busy once"]


def test_retry_after_holds_everyone_back(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    asking = Asking(tmp_path, teacher, in_flight=1)

    async def run() -> list[Outcome]:
        first = asyncio.create_task(asking.answer(["wait"]))
        await asyncio.sleep(0.05)
        return [*await asking.answer(["a", "b"]), *await first]

    assert sorted(names(asyncio.run(run()))) == ["a", "b", "wait"]
    assert min(teacher.at[1:]) - teacher.at[0] >= 0.6


def test_the_gate_hears_of_tokens_and_limits(tmp_path: Path) -> None:
    class Teacher(ScriptedTeacher):
        server_limits = ServerLimits(requests_per_minute=10)

    gate = Listening()
    Asking(tmp_path, Teacher(), in_flight=1, gate=gate)(["a", "busy once", "b"])
    assert gate.told.count(ServerLimits(requests_per_minute=10)) == 1
    assert gate.told.count(("settle", True, 15)) == 3
    assert gate.told.count(("settle", True, 0)) == 1  # a failed attempt took nothing


# --- stopping -----------------------------------------------------------------------------------------------------


def test_nothing_is_asked_after_the_teacher_has_stopped(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    assert Asking(tmp_path, teacher, in_flight=1)(["a", "stop", *"bcdefgh"]) == ["a", *["TeacherStoppedError"] * 8]
    assert teacher.asked == ["a", "stop"]


def test_a_stop_keeps_what_is_on_its_way_and_ends_every_wait(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(latency_s=0.5)
    asking = Asking(tmp_path, teacher, in_flight=2)

    async def run() -> list[Outcome]:
        answering = asyncio.create_task(asking.answer(["a", "b", "c", "d"]))
        while len(teacher.asked) < 2:
            await asyncio.sleep(0.01)
        asking.engine.stop(TeacherStoppedError("the breaker fell"))
        asking.engine.stop(TeacherStoppedError("a second one"))
        return await answering

    outcomes = asyncio.run(run())
    assert names(outcomes) == ["a", "b", "TeacherStoppedError", "TeacherStoppedError"]
    assert str(outcomes[2]) == "the breaker fell"
    assert asking.kept() == ["a", "b"]


@pytest.mark.parametrize("waits_for", ["the gate", "the next attempt"])
def test_a_stop_does_not_wait_for_those_that_wait(tmp_path: Path, waits_for: str) -> None:
    gate = LocalGate()
    asking = Asking(tmp_path, gate=gate, retry_for_s=10_000, in_flight=3)

    async def run() -> list[Outcome]:
        if waits_for == "the gate":
            gate.pause(3_600)
        answering = asyncio.create_task(asking.answer([f"always busy {i}" for i in range(5)]))
        await asyncio.sleep(0.3)
        asking.engine.stop(TeacherStoppedError("enough"))
        return await asyncio.wait_for(answering, 60)

    assert names(asyncio.run(run())) == ["TeacherStoppedError"] * 5


def test_a_spent_budget_stops_what_has_no_money_and_nothing_else(tmp_path: Path) -> None:
    purse = PurseOf(3)
    asking = Asking(tmp_path, purse=purse)
    outcomes = asking(["a", "busy once", "unavailable", "b", "c"])
    assert outcomes == ["a", "busy once", "TeacherUnavailableError", "BudgetSpentError", "BudgetSpentError"]
    assert sorted(reply.text for reply in purse.settled if reply) == ["a", "busy once"]
    assert purse.settled.count(None) == 1  # the money for what failed is free again


def test_a_full_disk_stops_the_engine_and_loses_no_reply(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(latency_s=0.01)
    asking = Asking(tmp_path, teacher, in_flight=1)
    texts = [f"{i} {'x' * 1_000}" for i in range(400)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, limits[1]))  # no file may grow beyond 6 kB
    try:
        outcomes = asyncio.run(asking.answer(texts))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    durable = [outcome for outcome in outcomes if isinstance(outcome, Reply)]
    assert len(durable) < len(teacher.asked) < 400
    assert names(outcomes[len(durable) :]) == ["TeacherStoppedError"] * (400 - len(durable))
    assert "replies cannot be kept: cannot write the ledger" in str(outcomes[-1])
    asking.journal.close()  # there is space again
    assert asking.kept() == sorted(teacher.asked)


def test_a_shard_that_cannot_be_rendered_keeps_what_was_asked(tmp_path: Path) -> None:
    def render() -> Iterator[str]:
        yield "a"
        yield "b"
        raise ValueError("no such template")

    asking = Asking(tmp_path)
    with pytest.raises(ValueError, match="no such template"):
        asking(render())
    assert asking.kept() == ["a", "b"]


def test_cancelling_gives_up_what_is_under_way_and_keeps_what_has_arrived(tmp_path: Path) -> None:
    arrived = asyncio.Event()
    release = asyncio.Event()

    class SlowDisk(Journal):
        async def append(self, reply: Reply) -> None:
            arrived.set()
            await release.wait()
            await super().append(reply)

    class Teacher(ScriptedTeacher):
        async def ask(self, request: Request) -> Reply:
            self.latency_s = 0 if request.messages[-1].content == "fast" else 3_600
            return await super().ask(request)

    teacher = Teacher()
    asking = Asking(tmp_path, teacher, in_flight=3)
    asking.journal = SlowDisk(asking.ledger, SCENES)

    async def run() -> None:
        answering = asyncio.create_task(asking.answer(["slow", "fast", "slow too", "never rendered", "nor this"]))
        await arrived.wait()
        answering.cancel()
        asyncio.get_running_loop().call_later(0.1, release.set)
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert len(asyncio.all_tasks()) == 1  # nothing goes on by itself

    asyncio.run(run())
    asking.journal.close()
    assert asking.kept() == ["fast"]
    assert teacher.under_way == 0


# --- over real connections ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.fixture
def server(shared_server: OpenAIServer) -> OpenAIServer:
    shared_server.set_faults()
    shared_server.change(latency_s=0.0, requests_per_minute=None, tokens_per_minute=None)
    return shared_server


def real(server: OpenAIServer) -> OpenAITeacher:
    return OpenAITeacher(TeacherConfig(base_url=server.base_url, timeout_s=20), Secret(KEY))


def some(test: str, count: int) -> list[str]:
    return [f"{test} {i}" for i in range(count)]


@pytest.mark.parametrize("down_how", ["503", "refuse"])
def test_a_server_that_goes_away_for_a_while_loses_nothing(tmp_path: Path, server: OpenAIServer, down_how: str) -> None:
    before = server.counts()
    server.change(latency_s=0.05)
    asking = Asking(tmp_path, real(server), in_flight=16)

    async def run() -> list[Outcome]:
        answering = asyncio.create_task(asking.answer(some(down_how, 200)))
        while len(asking.heard) < 20:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server.change, down_s=2.0, down_how=down_how)
        return await answering

    assert all(isinstance(outcome, Reply) for outcome in asyncio.run(run()))
    assert asking.engine.retried > 0
    assert len(asking.kept()) == 200
    after = server.counts()
    assert after["distinct"] - before["distinct"] == 200
    # Only what was answered to a connection that broke may have been answered twice.
    assert after["answered"] - before["answered"] <= 200 + (0 if down_how == "503" else 16)


def test_connections_that_break_and_overload_cost_retries_only(tmp_path: Path, server: OpenAIServer) -> None:
    server.set_faults({"drop": True, "times": 20}, {"status": 429, "retry_after": 0.1, "times": 5}, {"status": 500})
    asking = Asking(tmp_path, real(server), in_flight=16)
    assert not any("Error" in outcome for outcome in asking(some("break", 100)))
    assert asking.engine.retried >= 6


def test_a_limit_set_by_hand_is_never_exceeded(tmp_path: Path, server: OpenAIServer) -> None:
    before = server.stats().get("429", 0)
    server.change(requests_per_minute=1_200, burst_s=2.0)
    gate = LocalGate(RateLimiter(requests_per_minute=1_200))
    asking = Asking(tmp_path, real(server), in_flight=32, gate=gate)
    assert not any("Error" in outcome for outcome in asking(some("by hand", 60)))
    assert server.stats().get("429", 0) == before


def test_a_limit_is_learned_from_the_first_replies(tmp_path: Path, server: OpenAIServer) -> None:
    before = server.stats().get("429", 0)
    server.change(requests_per_minute=1_200, burst_s=1.0)
    asking = Asking(tmp_path, real(server), in_flight=8)
    assert not any("Error" in outcome for outcome in asking(some("learned", 80)))
    assert server.stats().get("429", 0) - before <= 10


def test_a_limit_on_tokens_is_kept(tmp_path: Path, server: OpenAIServer) -> None:
    server.change(tokens_per_minute=60_000, burst_s=2.0)
    asking = Asking(tmp_path, real(server), in_flight=8)
    texts = [f"{text} {'x' * 1_000}" for text in some("tokens", 12)]  # 250 and more tokens each, 1,000 a second
    started = time.monotonic()
    assert not any("Error" in outcome for outcome in asking(texts))
    assert time.monotonic() - started > 1
