"""True and false statements about real people, drawn by seed, for the measurement of grounding."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grounding_draws import Draw
from grounding_facts import Fact
from grounding_people import Named, nouns_of
from grounding_wording import NUMBERS, ORDINALS, Frame, Phrases, Wording, Writer, article, slot_names

from kpray.schemas import Scene

_FAVOURED: Final = {"side": 4.0, "person": 3.0, "order": 2.0}
"""Flips that real people offer rarely are drawn so many times as often."""

MOST_OF_ONE: Final = 12
"""Statements about one fact of one scene, so that a rare fact does not fill the set."""


@dataclass(frozen=True)
class Statement:
    """One statement about a scene, and whether it is true.

    Attributes:
        scene: Index into the scenes.
        question: The first turn.
        answer: The second.
        fact: What it says or denies.
        true: Whether the whole statement is.
        flip: What was flipped to make it false: ``side``, ``person``, ``attribute``, ``order``, ``count``, or
            ``denied`` for a denied truth; empty where it is true.
        frame: Group of its frame.
        who: How the person is named.
        wording: The wording's text, as in the phrase file.
    """

    scene: int
    question: str
    answer: str
    fact: Fact
    true: bool
    flip: str
    frame: str
    who: str
    wording: str


def statements(
    scenes: Sequence[Scene], drawn: Sequence[Draw], phrases: Phrases, *, seed: int, each: int
) -> list[Statement]:
    """Draw `each` true and `each` false statements, no text twice about the same scene.

    Claims are drawn by the square root of how many facts there are of a claim, value and flip, so that the rare ones
    are not lost among thousands of elbows; but at most `MOST_OF_ONE` statements are of one fact.
    """
    rng = random.Random(seed)
    cells: dict[tuple[str, str, str], list[Draw]] = defaultdict(list)
    for draw in drawn:
        value = "n" if draw.fact.name == "person_count" else draw.fact.value
        cells[draw.fact.name, value, draw.fact.flip].append(draw)
    keys = sorted(cells)
    weights = [math.sqrt(len(cells[key])) * _FAVOURED.get(key[2], 1.0) for key in keys]
    maker = Maker(scenes, phrases, rng)
    found: list[Statement] = []
    counts: Counter[bool] = Counter()
    seen: set[tuple[int, str, str]] = set()
    times: Counter[tuple[int, Fact]] = Counter()
    while min(counts[True], counts[False]) < each:
        statement = maker.make(_one_of(cells[rng.choices(keys, weights)[0]], rng))
        if statement is None or counts[statement.true] >= each:
            continue
        text = statement.scene, statement.question, statement.answer
        about = statement.scene, statement.fact
        if text not in seen and times[about] < MOST_OF_ONE:
            seen.add(text)
            times[about] += 1
            counts[statement.true] += 1
            found.append(statement)
    return found


def _one_of(cell: Sequence[Draw], rng: random.Random) -> Draw:
    """One in ten about everybody or nobody, the others in equal parts about lone people and about one of several."""
    everybody = [draw for draw in cell if draw.everybody]
    lone = [draw for draw in cell if not draw.everybody and (not draw.names or draw.names[0].kind == "lone")]
    several = [draw for draw in cell if draw.names and draw.names[0].kind != "lone"]
    kinds = [(draws, share) for draws, share in ((everybody, 0.1), (lone, 0.45), (several, 0.45)) if draws]
    return rng.choice(rng.choices([draws for draws, _ in kinds], [share for _, share in kinds])[0])


class Maker:
    """Makes statements of draws."""

    def __init__(self, scenes: Sequence[Scene], phrases: Phrases, rng: random.Random) -> None:
        self.scenes, self.phrases, self.rng = scenes, phrases, rng
        self.writer = Writer(phrases, rng)

    def make(self, draw: Draw) -> Statement | None:
        """One statement; None where the drawn wording has no frame that fits."""
        wording = self.rng.choice(self._wordings(draw.fact))
        named = self.rng.choice(draw.names) if draw.names else None
        frame = self._frame(draw, wording, named)
        if frame is None:
            return None
        slots, pronoun, who = self._slots(draw, named)
        question, answer = self.writer.turns(frame, wording, slots, pronoun)
        negative = frame.form in ("neg", "no")
        true = draw.fact.true != negative
        flip = "" if true else "denied" if negative else draw.fact.flip
        return Statement(draw.scene, question, answer, draw.fact, true, flip, frame.group, who, wording.text)

    def _wordings(self, fact: Fact) -> list[Wording]:
        value = fact.value
        if fact.name == "position":
            value = "lr"
        elif fact.name == "person_count":
            value = "one" if value == "1" else "n"
        elif value in ("image_left", "image_right"):
            value = "image_lr"
        sides = {"left": "s", "right": "s", "both": "b", "one": "o"}.get(fact.side, "")
        found = [w for w in self.phrases.wordings[fact.name, value] if w.sides in (sides, sides or "n")]
        return found or self.phrases.wordings[fact.name, value]

    def _frame(self, draw: Draw, wording: Wording, named: Named | None) -> Frame | None:
        if wording.form == "qa":
            return Frame("question", "qa", "{qa}")
        frames = self.phrases.frames_of(wording)
        if draw.everybody:
            frames = [frame for frame in frames if frame.form == draw.everybody]
        else:
            frames = [frame for frame in frames if frame.form not in ("all", "none")]
        if named is not None and named.kind == "ordinal":  # "there is a person" would not say which
            frames = [frame for frame in frames if "a_who" not in slot_names(frame.text)]
        if wording.negatable and self.rng.random() < 0.5:
            frames = [frame for frame in frames if frame.group in ("negated", "yes_no")] or frames
        groups = sorted({frame.group for frame in frames})
        if not groups:
            return None
        group = self.rng.choice(groups)
        return self.rng.choice([frame for frame in frames if frame.group == group])

    def _slots(self, draw: Draw, named: Named | None) -> tuple[dict[str, str], str, str]:
        scene, fact = self.scenes[draw.scene], draw.fact
        noun, pronoun = self.rng.choice(nouns_of(scene, lone=named is not None and named.kind == "lone"))
        slots = {"side": fact.side, **_sides_of_picture(fact.value), **self._number(fact)}
        if fact.thing is not None:
            category = scene.objects[fact.thing].category
            slots |= {"a_obj": article(category), "the_obj": f"the {category}", "other": f"the {category}"}
        if draw.others:
            slots["other"] = self._named(self.rng.choice(draw.others), noun)[0]
        if draw.everybody:
            kind, text = self._everybody(draw.everybody, len(scene.people), noun)
            return {**slots, draw.everybody: text}, "everyone" if kind == "every" else "they", kind
        if named is None:
            return slots, "they", "count"
        slots["who"], slots["a_who"] = self._named(named, noun)
        return slots, pronoun, named.kind

    def _everybody(self, which: str, people: int, noun: str) -> tuple[str, str]:
        if which == "all":
            kind = self.rng.choice(("every", "all2" if people == 2 else "alln"))
        else:
            kind = "none2" if people == 2 else "none"
        line = self.rng.choice(self.phrases.people[kind])
        return kind, line.format(noun=noun, nouns=_plural(noun), n=NUMBERS[people])

    def _number(self, fact: Fact) -> dict[str, str]:
        if fact.name != "person_count":
            return {}
        number = NUMBERS[int(fact.value)] if self.rng.random() < 0.8 else fact.value
        return {"n": number, "people": self.rng.choice(("people", "people", "people", "individuals", "persons"))}

    def _named(self, named: Named, noun: str) -> tuple[str, str]:
        thing = {"a_obj": article(named.thing), "the_obj": f"the {named.thing}"} if named.thing else {}
        line = self.rng.choice(self.phrases.people[named.kind])
        filled = line.format(noun=noun, lr=named.place, ord=ORDINALS[named.ordinal], **thing)
        the, _, a = filled.partition(" | ")
        if a.startswith("a ") and a[2] in "aeiou":
            a = "an" + a[1:]
        return the, a


def _sides_of_picture(value: str) -> dict[str, str]:
    for side, opposite in (("left", "right"), ("right", "left")):
        if value.startswith(f"image_{side}"):
            return {"ilr": side, "rli": opposite}
    return {}


def _plural(noun: str) -> str:
    return {"person": "people", "man": "men", "woman": "women"}.get(noun, f"{noun}s")
