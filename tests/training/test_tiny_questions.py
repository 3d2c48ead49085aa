from __future__ import annotations

import functools
import itertools
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("transformers")

from kpray.coco.synthetic import as_scene, synthesize
from kpray.training.tiny.questions import Question, balanced_questions, questions
from kpray.training.tiny.scenes import lone_scenes


@functools.cache
def scenes() -> list[Any]:
    return [as_scene(synthesize(index, 21)) for index in itertools.islice(lone_scenes(21), 100)]


def test_in_each_form_every_answer_is_right_equally_often() -> None:
    kept = balanced_questions(scenes(), seed=0)
    by_form: dict[str, Counter[str]] = {}
    for question in kept:
        by_form.setdefault(question.form, Counter())[question.truth] += 1
    assert {question.topic for question in kept} == {"arms", "legs", "posture", "yes or no"}
    for form, truths in by_form.items():
        assert len(set(truths.values())) == 1, form
        assert set(truths) == set(next(q.options for q in kept if q.form == form))


def test_a_scene_with_several_people_is_not_asked_about() -> None:
    several = next(scene for scene in map(as_scene, map(synthesize, range(20), [21] * 20)) if len(scene.people) > 1)
    assert list(questions(0, several)) == []


@pytest.mark.parametrize(
    ("pose", "form", "truth"),
    [
        ("arms_raised", "both hands", "up"),
        ("arms_raised", "hand overhead", "yes"),
        ("lying_on_back", "position", "lying"),
    ],
)
def test_the_truth_is_that_of_the_drawing(pose: str, form: str, truth: str) -> None:
    drawn = (synthesize(index, 21) for index in lone_scenes(21))
    lone = (as_scene(s) for s in drawn if s.people[0].pose == pose)
    asked = itertools.chain.from_iterable(questions(0, scene) for scene in itertools.islice(lone, 4))
    told = [question for question in asked if question.form == form]
    assert {question.truth for question in told} == {truth}


def test_questions_name_the_person_and_fill_every_slot() -> None:
    for question in balanced_questions(scenes(), seed=0):
        assert isinstance(question, Question)
        assert question.text.endswith("?")
        for text in (question.text, *itertools.chain.from_iterable(question.options.values())):
            assert "{" not in text
            assert text[0].isupper()


def test_answers_are_what_the_teacher_would_say() -> None:
    (question, *_) = (q for scene in scenes() for q in questions(0, scene) if q.form == "left hand")
    assert set(question.options) == {"up", "middle", "low"}
    assert any("left arm hang down" in text for text in question.options["low"])
    assert all("left" in text for texts in question.options.values() for text in texts)
