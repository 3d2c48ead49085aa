from __future__ import annotations

import msgspec
import pytest
from judge_cases import JUDGE, answer, question, verdict
from scenes import scene

from kpray.scoring.types import Aspects, Difference, Estimate, JudgeItem, Score, Verdict

DIFFERENCE = Difference("a", "b", "", ("reference",), Estimate(1, -1, 3), 90, 30, 0.2, 0.4, 3.5)
SCORE = Score("a", "", "", Estimate(50.0), 3, 1, 6, {"refusal": 2}, 40.0, 70.0)


@pytest.mark.parametrize(
    "value",
    [
        question(),
        JudgeItem(question(), scene(), (answer(),), "single"),
        msgspec.structs.replace(verdict("q1", ("a",), (8.5,)), aspects=(Aspects(1, 2, 3, 4),)),
        verdict("q1", ("a", "b"), None),
        SCORE,
        DIFFERENCE,
    ],
    ids=lambda value: type(value).__name__,
)
def test_everything_goes_through_files_unchanged(value: msgspec.Struct) -> None:
    assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


def test_a_verdict_of_an_unknown_mode_is_refused() -> None:
    encoded = msgspec.json.encode(verdict("q1", ("a",), (8,))).replace(b'"pairwise"', b'"triple"')
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(encoded, type=Verdict)


def test_the_judge_names_itself_with_what_matters() -> None:
    assert str(JUDGE) == "judge-1 (model judge, prompt 0123456789abcdef, temperature 0.2)"
