"""Held-out questions about arms, legs and posture, with the truth from the keypoints and balanced answers.

A question is put in the teacher's words, the answer is begun in the teacher's words, and what counts is which of a few
next words the model finds likeliest: "What position is the man in? He is ..." - standing, sitting, kneeling or lying.
Every answer is the truth equally often, so the best constant answer is right in one of so many cases.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from kpray.pose import scene_codes
from kpray.schemas import Scene
from kpray.teachers.geometric.english import capitalised
from kpray.teachers.geometric.facts import PersonFacts, scene_facts
from kpray.teachers.geometric.known import know
from kpray.teachers.geometric.wording import Writer

Topic = Literal["arms", "legs", "posture"]
Options = Mapping[str, tuple[str, ...]]

HAND: Final[Options] = {"up": ("above", "higher", "raised"), "middle": ("between", "at"), "low": ("below", "lower")}
BOTH_HANDS: Final[Options] = {"up": ("above", "higher"), "middle": ("between",), "low": ("below",)}
LEG: Final[Options] = {"straight": ("straight",), "bent": ("bent", "folded")}
BOTH_LEGS: Final[Options] = {"straight": ("straight",), "bent": ("bent",)}
POSTURE: Final[Options] = {
    "standing": ("standing",),
    "sitting": ("sitting", "seated"),
    "kneeling": ("kneeling",),
    "lying": ("lying",),
}
YES_NO: Final[Options] = {"yes": ("Yes", "That"), "no": ("No",)}

_HEIGHTS: Final = {
    "above_head": "up",
    "above_shoulder": "up",
    "between_shoulder_and_hip": "middle",
    "below_hip": "low",
}
_BENDS: Final = {"straight": "straight", "bent": "bent", "sharply_bent": "bent"}


class Question(msgspec.Struct, frozen=True):
    """One question about one picture.

    Attributes:
        topic: What it is about.
        form: Questions of one form share their options and are balanced among themselves.
        picture: Number of the picture.
        text: As the teacher would ask.
        beginning: Of the answer; may be empty.
        options: The next word's possibilities, by answer.
        truth: The right answer.
    """

    topic: Topic
    form: str
    picture: int
    text: str
    beginning: str
    options: Options
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
    words = who.slots(named=True)
    slots = {
        **words,
        "He": capitalised(who.pronoun),
        "His": capitalised(words["their"]),
        "He_is": capitalised(words["they_are"]),
    }
    for topic, form, text, beginning, options, truth in (*_arms(facts), *_legs(facts), *_posture(facts)):
        yield Question(topic, form, picture, text.format_map(slots), beginning.format_map(slots), options, truth)


_Asked = tuple[Topic, str, str, str, Options, str]


def _arms(facts: PersonFacts) -> Iterator[_Asked]:
    heights = {side: _HEIGHTS[height] for side, height in facts.sided.get("wrist_height", {}).items()}
    if len(heights) == 2 and len(set(heights.values())) == 1:
        text = "How are the arms of {who} positioned?"
        yield "arms", "both hands", text, "{His} hands are both", BOTH_HANDS, heights["left"]
    else:
        for side, height in heights.items():
            text = f"Where does {{who}} have {{their}} {side} arm and hand?"
            yield "arms", f"{side} hand", text, f"{{His}} {side} hand is", HAND, height
    if len(heights) == 2:
        above = "above_head" in facts.sided["wrist_height"].values()
        yield "arms", "overhead", "Does {who} have a hand above {their} head?", "", YES_NO, _yes(above)


def _legs(facts: PersonFacts) -> Iterator[_Asked]:
    bends = {side: _BENDS[bend] for side, bend in facts.sided.get("knee", {}).items() if bend in _BENDS}
    if len(bends) == 2 and len(set(bends.values())) == 1:
        bent = bends["left"]
        yield "legs", "both legs", "How are the legs of {who} positioned?", "{He} keep{s} both legs", BOTH_LEGS, bent
        yield "legs", "knees", "Are the knees of {who} bent?", "", YES_NO, _yes(bent == "bent")
    else:
        for side, bend in bends.items():
            yield "legs", f"{side} leg", "What is the leg position of {who}?", f"{{His}} {side} leg is", LEG, bend


def _posture(facts: PersonFacts) -> Iterator[_Asked]:
    posture = facts.whole.get("posture")
    if posture is None or posture not in POSTURE:
        return
    yield "posture", "position", "What position is {who} in?", "{He_is}", POSTURE, posture
    for asked, text in (
        ("standing", "Is {who} standing up?"),
        ("lying", "Is {who} lying down?"),
        ("sitting", "Is {who} sitting down?"),
    ):
        yield "posture", asked, text, "", YES_NO, _yes(posture == asked)


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
