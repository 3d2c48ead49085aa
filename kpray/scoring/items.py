"""Questions and answers become what a judge is asked: both orders always, and every repeat."""

from __future__ import annotations

from collections.abc import Iterator

from kpray.errors import InputError
from kpray.schemas import Scene
from kpray.scoring.types import REFERENCE, Answer, JudgeItem, Mode, Question


def judge_items(
    question: Question, scene: Scene, answers: tuple[Answer, ...], *, mode: Mode, repeats: int = 1
) -> Iterator[JudgeItem]:
    """Everything to judge about one question.

    Args:
        question: What was asked.
        scene: Of its image.
        answers: Two for ``pairwise``, one for the other modes. ``reference`` shows the reference first, as LLaVA does,
            and then second.
        mode: How to judge.
        repeats: How often in each order.

    Raises:
        InputError: The answers do not fit the mode or the question.
    """
    shown = (_reference(question), *answers) if mode == "reference" else answers
    _check(question, scene, shown, mode)
    for repeat in range(repeats):
        yield JudgeItem(question, scene, shown, mode, swapped=False, repeat=repeat)
        if len(shown) == 2:
            yield JudgeItem(question, scene, shown[::-1], mode, swapped=True, repeat=repeat)


def _reference(question: Question) -> Answer:
    if not question.reference.strip():
        raise InputError(
            f"question {question.question_id} has no reference answer, which the mode reference needs. "
            "Give it one, or judge in the mode single or pairwise."
        )
    return Answer(question.question_id, REFERENCE, question.reference, lineage=question.lineage)


def _check(question: Question, scene: Scene, shown: tuple[Answer, ...], mode: Mode) -> None:
    wanted = 1 if mode == "single" else 2
    if len(shown) != wanted:
        raise InputError(
            f"the mode {mode} shows {wanted} answers to question {question.question_id}, found {len(shown)}. "
            "Give it one answer per model."
        )
    for answer in shown:
        if answer.question_id != question.question_id:
            raise InputError(
                f"expected answers to question {question.question_id}, found one by {answer.model} to "
                f"{answer.question_id}. Join answers and questions by question_id."
            )
    if scene.scene_id != question.scene_id:
        raise InputError(
            f"question {question.question_id} is about scene {question.scene_id}, found scene {scene.scene_id}. "
            "Join scenes and questions by scene_id."
        )
    if len({answer.model for answer in shown}) < len(shown):
        raise InputError(
            f"both answers to question {question.question_id} are by {shown[0].model}. Give the models different names."
        )
