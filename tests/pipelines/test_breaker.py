from __future__ import annotations

import pytest

from kpray.pipelines.breaker import SHOWN, TRIAL, fault_of
from kpray.pipelines.progress import Money, Reporter, Scoreboard, Tally, describe
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.samples import Asked
from kpray.schemas import Reply, Sampling

RECIPE = Recipe(("detailed",), "single", 0, 9_000, True, "openai/m", False, Sampling(), {"detailed": "v"})


def asked(text: str, finish_reason: str = "stop") -> Asked:
    reply = Reply("r", text, finish_reason, None, None, 0.1, "m", "2026-01-01T00:00:00+00:00")
    return Asked("detailed", "7", "7.jpg", "r", "Describe the picture.", (), reply)


def test_a_reply_of_use_has_no_fault() -> None:
    assert (
        fault_of(
            asked(
                '{"description": "A man stands on a field of grass and raises his left arm high above his open hand."}'
            ),
            RECIPE,
        )
        is None
    )


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (asked("I cannot do that {"), "[detailed, scene 7] not_json_or_blocks"),
        (asked('{"description": "The keypoints show a raised arm."}'), "mentions_keypoints"),
        (asked('{"description": "A man', "length"), "truncated"),
        (asked("", "error"), "request_refused"),
    ],
)
def test_the_fault_is_named_and_shown(reply: Asked, fault: str) -> None:
    found = fault_of(reply, RECIPE)
    assert found is not None
    assert fault in found
    assert reply.reply is not None
    assert reply.reply.text in found or "keypoints" in found


class Stopped(Exception):  # noqa: N818
    pass


def stop(reason: str) -> None:
    raise Stopped(reason)


def test_a_worker_stops_when_all_first_replies_are_useless() -> None:
    reporter = Reporter(None, worker="w", on_stop=stop)
    for i in range(TRIAL - 1):
        reporter.on_verdict(f"fault {i}")
    with pytest.raises(Stopped) as stopped:
        reporter.on_verdict("one more")
    text = str(stopped.value)
    assert f"first {TRIAL} replies" in text
    assert [f"fault {i}" in text for i in range(SHOWN + 1)] == [True] * SHOWN + [False]


def test_one_reply_of_use_ends_the_trial() -> None:
    reporter = Reporter(None, worker="w", on_stop=stop)
    reporter.on_verdict("fault")
    reporter.on_verdict(None)
    assert not reporter.on_trial


def test_the_scoreboard_stops_all_workers_together() -> None:
    board = Scoreboard()
    half = Tally(replies=TRIAL // 2, faulty=TRIAL // 2, faults=["a", "b", "c"])
    assert board.report("one", half).stop is None
    orders = board.report("two", half)
    assert orders.stop is not None
    assert f"first {TRIAL} replies" in orders.stop
    assert board.report("three", Tally(replies=1, usable=True)).stop is None
    assert board.report("one", half).trial_over


def test_a_worker_that_reports_again_counts_once() -> None:
    board = Scoreboard()
    board.report("one", Tally(replies=3))
    board.report("one", Tally(replies=5))
    assert [tally.replies for tally in board.tallies().values()] == [5]


def test_the_progress_line_knows_what_is_not_priced() -> None:
    line = describe(Tally(replies=10, unpriced=10, prompt_tokens=5), requests=20, elapsed_s=5)
    assert "$" not in line
    line = describe(Tally(replies=10, usd=1.0), requests=20, elapsed_s=5, money=Money(2.0, 50.0))
    assert "$3.00 of $50.00 spent, $4.00 expected" in line
