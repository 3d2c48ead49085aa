from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from kpray.errors import TeacherStoppedError, TeacherUnavailableError
from kpray.ledger.journal import Journal, SceneRange, read_replies
from kpray.schemas import Message, Reply, Request, Sampling, Scene
from kpray.teachers.engine import Engine, Outcome

SCENES = SceneRange("1", "9")


def request(text: str) -> Request:
    return Request("detailed", "1", (Message("user", text),), "script/1", Sampling())


class ScriptedTeacher:
    """Answers with the request's own text; some words in it make it fail."""

    name = "script"
    model = "script/1"
    reads_scene = False

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.under_way = 0
        self.peak = 0

    async def preflight(self) -> None: ...

    async def aclose(self) -> None: ...

    def prepare(self, scenes: Sequence[Scene]) -> None: ...

    async def ask(self, request: Request) -> Reply:
        text = request.messages[-1].content
        self.asked.append(text)
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        await asyncio.sleep(0.001)
        self.under_way -= 1
        if "busy" in text:
            raise TeacherUnavailableError("busy")
        if "stop" in text:
            raise TeacherStoppedError("no quota")
        if "bug" in text:
            raise ValueError("a bug")
        return Reply(request.request_id, text, "stop", None, None, 0.0, "m", "2026-01-01T00:00:00+00:00")


def answer(
    tmp_path: Path,
    teacher: ScriptedTeacher,
    texts: Iterator[str] | list[str],
    *,
    in_flight: int = 4,
    known: Sequence[str] = (),
) -> list[Outcome]:
    async def run() -> list[Outcome]:
        journal = Journal(str(tmp_path), SCENES)
        engine = Engine(teacher, in_flight=in_flight, on_reply=lambda reply: None)
        ids = {request(t).request_id: t for t in known}
        replies = {i: Reply(i, f"known {t}", "stop", None, None, 0.0, "m", "t") for i, t in ids.items()}
        outcomes = await engine.answer((request(t) for t in texts), known=replies, journal=journal)
        journal.close()
        return outcomes

    return asyncio.run(run())


def texts(outcomes: list[Outcome]) -> list[str]:
    return [o.text if isinstance(o, Reply) else type(o).__name__ for o in outcomes]


def test_replies_come_back_in_the_order_of_the_requests_and_are_in_the_ledger(tmp_path: Path) -> None:
    wanted = [f"text {i}" for i in range(50)]
    assert texts(answer(tmp_path, ScriptedTeacher(), wanted)) == wanted
    assert sorted(r.text for r in read_replies(str(tmp_path), [], SCENES).values()) == sorted(wanted)


def test_never_more_in_flight_than_allowed_and_the_window_is_filled(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    answer(tmp_path, teacher, [str(i) for i in range(40)], in_flight=7)
    assert teacher.peak == 7


def test_what_is_known_is_not_asked(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    assert texts(answer(tmp_path, teacher, ["a", "b", "c"], known=["b"])) == ["a", "known b", "c"]
    assert teacher.asked == ["a", "c"]


def test_equal_requests_are_asked_once(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    assert texts(answer(tmp_path, teacher, ["a", "a", "b", "a"])) == ["a", "a", "b", "a"]
    assert sorted(teacher.asked) == ["a", "b"]


def test_one_failure_takes_nothing_else_along(tmp_path: Path) -> None:
    outcomes = answer(tmp_path, ScriptedTeacher(), ["a", "busy", "b", "bug", "c"])
    assert texts(outcomes) == ["a", "TeacherUnavailableError", "b", "TeacherUnavailableError", "c"]
    assert "ValueError: a bug" in str(outcomes[3])
    assert len(read_replies(str(tmp_path), [], SCENES)) == 3


def test_nothing_is_asked_after_the_teacher_has_stopped(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    outcomes = answer(tmp_path, teacher, ["a", "stop", *"bcdefgh"], in_flight=1)
    assert texts(outcomes) == ["a", *["TeacherStoppedError"] * 8]
    assert teacher.asked == ["a", "stop"]


def test_requests_are_rendered_as_places_come_free(tmp_path: Path) -> None:
    teacher = ScriptedTeacher()
    ahead: list[int] = []

    def render() -> Iterator[str]:
        for i in range(30):
            ahead.append(i - len(teacher.asked))
            yield str(i)

    answer(tmp_path, teacher, render(), in_flight=5)
    assert max(ahead) <= 5
