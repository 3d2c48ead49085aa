"""Questions, answers and verdicts for the tests of scoring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kpray.schemas import Sampling
from kpray.scoring.types import Answer, JudgeFingerprint, Mode, Question, Verdict

JUDGE = JudgeFingerprint("model", "judge-1", "0123456789abcdef", Sampling(temperature=0.2))

REFERENCE_TEXT = "The man stands on the field with both arms hanging down beside a ball."


def question(question_id: str = "q1", scene_id: str = "7", **changes: Any) -> Question:
    fields: dict[str, Any] = {
        "question_id": question_id,
        "scene_id": scene_id,
        "image": f"{scene_id}.jpg",
        "category": "detailed",
        "text": "What is the man doing with his arms?",
        "reference": REFERENCE_TEXT,
    }
    return Question(**{**fields, **changes})


def answer(model: str = "tuned", text: str = "He lets his arms hang down.", question_id: str = "q1") -> Answer:
    return Answer(question_id, model, text)


def verdict(
    question_id: str,
    models: Sequence[str],
    scores: Sequence[float] | None,
    *,
    mode: Mode = "pairwise",
    swapped: bool = False,
    repeat: int = 0,
    unscored: str = "no_scores",
    judge: JudgeFingerprint = JUDGE,
) -> Verdict:
    """A verdict; the models in the order shown."""
    return Verdict(
        question_id,
        mode,
        tuple(models),
        None if scores is None else tuple(scores),
        judge,
        swapped=swapped,
        repeat=repeat,
        unscored=unscored if scores is None else None,
    )


def both_orders(
    question_id: str, models: tuple[str, str], first: tuple[float, float], second: tuple[float, float]
) -> list[Verdict]:
    """Verdicts of both orders; all ratings as (of models[0], of models[1])."""
    return [verdict(question_id, models, first), verdict(question_id, models[::-1], second[::-1], swapped=True)]
