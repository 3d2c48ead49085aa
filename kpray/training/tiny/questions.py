"""Held-out questions about arms, legs and posture, with the truth from the keypoints and balanced answers.

A question is put in the teacher's words. Its possible answers are what the teacher would say in each case, in all of
the teacher's wordings: "How are the arms of the man positioned?" - "He holds both hands above his head.", "His arms are
both lifted.", ... against "He lets both arms hang down.", ... What counts is which answer the model finds likeliest
(`kpray.training.tiny.exam`), so a model is neither helped nor hurt by a wording.

In each form of question every answer is the truth equally often: the best constant answer is right in one of so many
cases.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from kpray.pose import scene_codes
from kpray.pose.vocabulary import Side
from kpray.schemas import Scene
from kpray.teachers.geometric.english import sentence
from kpray.teachers.geometric.facts import SIDES, PersonFacts, scene_facts
from kpray.teachers.geometric.known import know
from kpray.teachers.geometric.refer import Referent
from kpray.teachers.geometric.wording import Writer, forms

Topic = Literal["arms", "legs", "posture", "yes or no"]

_HAND: Final = {
    "up": ("wrist_height_above_head", "wrist_height_above_shoulder", "arm_raised"),
    "middle": ("wrist_height_between_shoulder_and_hip", "arm_tucked"),
    "low": ("wrist_height_below_hip", "arm_hanging"),
}
_FOREARM: Final = {"up": ("forearm_pointing_up",), "level": ("forearm_level",), "down": ("forearm_pointing_down",)}
_KNEE: Final = {"straight": ("knee_straight",), "bent": ("knee_bent", "knee_sharply_bent")}
_POSTURE: Final = {name: (name,) for name in ("standing", "sitting", "kneeling", "lying")}
"""For each answer the sections of ``forms/person.txt`` that give it; those of arms and legs without their side."""

_HEIGHTS: Final = {
    "above_head": "up",
    "above_shoulder": "up",
    "between_shoulder_and_hip": "middle",
    "below_hip": "low",
}
_POINTING: Final = {"pointing_up": "up", "level": "level", "pointing_down": "down"}
_BENDS: Final = {"straight": "straight", "bent": "bent", "sharply_bent": "bent"}
_YES_NO: Final = {"yes": ("Yes", "That"), "no": ("No",)}


class Question(msgspec.Struct, frozen=True):
    """One question about one picture.

    Attributes:
        topic: What it is about.
        form: Questions of one form share their answers and are balanced among themselves.
        picture: Number of the picture.
        text: As the teacher would ask.
        options: For each answer the sentences, or their beginnings, that give it.
        truth: The right answer.
    """

    topic: Topic
    form: str
    picture: int
    text: str
    options: Mapping[str, tuple[str, ...]]
    truth: str


def balanced_questions(scenes: Sequence[Scene], *, seed: int) -> list[Question]:
    """Questions about scenes with one person; in each form every answer is the truth equally often.

    A form of which some answer is never the truth is left out.
    """
    found: dict[str, dict[str, list[Question]]] = {}
    for picture, scene in enumerate(scenes):
        for question in questions(picture, scene):
            found.setdefault(question.form, {}).setdefault(question.truth, []).append(question)
    draws = random.Random(seed)
    kept = []
    for by_truth in found.values():
        options = next(iter(by_truth.values()))[0].options
        least = min(len(by_truth.get(answer, ())) for answer in options)
        kept += [q for answer in options for q in draws.sample(by_truth.get(answer, []), least)]
    return kept


def questions(picture: int, scene: Scene) -> Iterator[Question]:
    """All questions whose answer the keypoints decide; none unless there is exactly one person."""
    codes = scene_codes(scene)
    who = know(scene, codes, Writer(scene.scene_id)).lone
    if who is None:
        return
    facts = scene_facts(scene, codes).people[0]
    for asked in (*_limbs(facts), *_posture(facts), *_yes_or_no(facts)):
        slots = who.slots(named=True) | {"side": asked.side}
        text = sentence(asked.text.format_map(slots))
        yield Question(asked.topic, asked.form, picture, text, _options(asked, who), asked.truth)


class _Asked(NamedTuple):
    """A question before it names anybody; `answers` are sections of forms, or None for yes and no."""

    topic: Topic
    form: str
    text: str
    answers: Mapping[str, tuple[str, ...]] | None
    truth: str
    side: str = ""


def _options(asked: _Asked, who: Referent) -> dict[str, tuple[str, ...]]:
    if asked.answers is None:
        return dict(_YES_NO)
    slots = who.slots(named=False) | {"side": asked.side}
    return {
        answer: tuple(sentence(form.format_map(slots)) for section in sections for form in _sentences(section))
        for answer, sections in asked.answers.items()
    }


def _sentences(section: str) -> Iterator[str]:
    """The section's forms that make a sentence by themselves."""
    yield from (f"{{who}} {form}" for form in forms().get(f"{section}.vp", ()))
    yield from forms().get(f"{section}.full", ())


def _limbs(facts: PersonFacts) -> Iterator[_Asked]:
    hands = {side: _HEIGHTS[h] for side, h in facts.sided.get("wrist_height", {}).items() if _is_plain(facts, side)}
    forearms = {side: _POINTING[d] for side, d in facts.sided.get("forearm", {}).items()}
    knees = {side: _BENDS[b] for side, b in facts.sided.get("knee", {}).items() if b in _BENDS}
    arm_questions = ("How are the arms of {who} positioned?", "How does {who} hold {their} {side} arm?")
    leg_questions = ("How are the legs of {who} positioned?", "What is the leg position of {who}?")
    yield from _sided("arms", "hand", arm_questions, _HAND, hands)
    yield from _sided("arms", "forearm", arm_questions, _FOREARM, forearms)
    yield from _sided("legs", "leg", leg_questions, _KNEE, knees)


def _is_plain(facts: PersonFacts, side: Side) -> bool:
    """Whether the height of the hand decides between the answers: none of the false ones would be half true."""
    height, arm = facts.sided["wrist_height"][side], facts.sided.get("arm", {}).get(side, "")
    low_arm = arm == "down" and height == "between_shoulder_and_hip"
    return not low_arm and (arm != "raised" or _HEIGHTS[height] == "up")


def _sided(
    topic: Topic, part: str, texts: tuple[str, str], answers: Mapping[str, tuple[str, ...]], found: Mapping[Side, str]
) -> Iterator[_Asked]:
    """One question about both sides where they agree, else one about each."""
    of_both, of_one = texts
    if len(found) == 2 and found["left"] == found["right"]:
        yield _Asked(topic, f"both {part}s", of_both, _suffixed(answers, "both"), found["left"])
        return
    for side in SIDES:
        if side in found:
            yield _Asked(topic, f"{side} {part}", of_one, _suffixed(answers, "one"), found[side], side)


def _suffixed(answers: Mapping[str, tuple[str, ...]], suffix: str) -> dict[str, tuple[str, ...]]:
    return {answer: tuple(f"{section}_{suffix}" for section in sections) for answer, sections in answers.items()}


def _posture(facts: PersonFacts) -> Iterator[_Asked]:
    posture = facts.whole.get("posture", "")
    if posture in _POSTURE:
        yield _Asked("posture", "position", "What position is {who} in?", _POSTURE, posture)


def _yes_or_no(facts: PersonFacts) -> Iterator[_Asked]:
    posture = facts.whole.get("posture", "")
    if posture in _POSTURE:
        yield _yes("standing", "Is {who} standing up?", posture == "standing")
        yield _yes("lying", "Is {who} lying down?", posture == "lying")
        yield _yes("sitting", "Is {who} sitting down?", posture == "sitting")
    if knees := _BENDS.get(facts.both("knee") or ""):
        yield _yes("knees bent", "Are the knees of {who} bent?", knees == "bent")
    heights = facts.sided.get("wrist_height", {}).values()
    if len(heights) == 2:
        yield _yes("hand overhead", "Does {who} have a hand above {their} head?", "above_head" in heights)


def _yes(form: str, text: str, holds: bool) -> _Asked:
    return _Asked("yes or no", form, text, None, "yes" if holds else "no")
