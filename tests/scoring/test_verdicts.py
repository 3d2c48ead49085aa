from __future__ import annotations

import pytest
from judge_cases import JUDGE, answer, question
from scenes import scene

from kpray.schemas import Reply, Sampling
from kpray.scoring.judging.verdicts import model_fingerprint, needs_reasking, verdict_of
from kpray.scoring.types import JudgeItem

ITEM = JudgeItem(question(), scene(), (answer("a"), answer("b")), "pairwise", swapped=True, repeat=1)


def reply(text: str, finish_reason: str = "stop") -> Reply:
    return Reply("r1", text, finish_reason, None, None, 0.1, "judge-1", "2026-01-01T00:00:00Z")


def test_a_readable_reply_becomes_a_scored_verdict() -> None:
    verdict = verdict_of(ITEM, reply("8 9\nThe second names the arm."), JUDGE)
    assert (verdict.scores, verdict.unscored) == ((8, 9), None)
    assert (verdict.models, verdict.swapped, verdict.repeat) == (("a", "b"), True, 1)
    assert (verdict.explanation, verdict.request_id) == ("The second names the arm.", "r1")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (reply("no idea"), "no_scores"),
        (reply("8 9 7"), "wrong_count"),
        (reply("8 1", "length"), "truncated"),
        (reply("", "refusal"), "refusal"),
        (reply("", "content_filter"), "content_filter"),
        (reply("", "error"), "error"),
        (None, "no_reply"),
    ],
)
def test_what_cannot_be_read_is_unscored_with_its_reason(given: Reply | None, reason: str) -> None:
    verdict = verdict_of(ITEM, given, JUDGE)
    assert (verdict.scores, verdict.unscored) == (None, reason)


def test_only_an_unreadable_reply_is_asked_again() -> None:
    assert needs_reasking(ITEM, reply("8 9")) is None
    assert needs_reasking(ITEM, reply("", "refusal")) is None
    failure = needs_reasking(ITEM, reply("8-9 7"))
    assert failure is not None
    assert failure.reason == "score_range"


def test_the_fingerprint_tells_what_changes_a_judgement() -> None:
    def made(served: str = "m", mode: str = "single", structured: bool = True, temperature: float = 0.2) -> str:
        sampling = Sampling(temperature=temperature)
        return model_fingerprint(served, mode=mode, structured=structured, sampling=sampling).digest  # type: ignore[arg-type]

    same, others = made(), [made("m2"), made(mode="pairwise"), made(structured=False), made(temperature=0.0)]
    assert made() == same
    assert len({same, *others}) == 5
