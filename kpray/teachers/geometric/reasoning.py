"""One question that needs reasoning, and an answer that argues from facts to marked conclusions."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Final

from kpray.schemas import QuestionAnswer
from kpray.teachers.geometric import people
from kpray.teachers.geometric.english import number_word, sentence
from kpray.teachers.geometric.known import Known
from kpray.teachers.geometric.refer import Referent
from kpray.teachers.geometric.sentences import tell_one
from kpray.teachers.geometric.statements import Statement
from kpray.teachers.geometric.wording import Writer, forms

_ASKS: Final = ("why", "next", "advice", "stable")
_WORDS_ENOUGH: Final = 110
_FACTS: Final = {"lone": 4, "group": 2}

_MEANINGS: Final = (
    (r"sitting_on|sitting|on_seat", "posture_sitting"),
    (r"standing_on|on", "on"),
    (r"standing", "posture_standing"),
    (r"crouching", "posture_crouching"),
    (r"kneeling", "posture_kneeling"),
    (r"lying", "posture_lying"),
    (r"lean_forward", "lean_forward"),
    (r"lean_backward", "lean_backward"),
    (r"lean_image", "lean_side"),
    (r"upright", "upright"),
    (r"horizontal|inverted", "trunk_low"),
    (r"arm_raised.*|wrist_height_above.*", "arms_up"),
    (r"arm_out_to_side.*", "arms_out"),
    (r"arm_tucked.*", "arms_near"),
    (r"arm_hanging.*", "arms_hang"),
    (r"elbow_(sharply_)?bent.*", "arms_bent"),
    (r"elbow_straight.*", "arms_straight"),
    (r"hand_near_face.*", "hand_face"),
    (r"hand_on_hip.*", "hand_hip"),
    (r"hands_together", "hands_together"),
    (r"arms_crossed|legs_crossed", "crossed"),
    (r"knee_(sharply_|slightly_)?bent.*|elbows_and_knees_bent", "knees_bent"),
    (r"knee_straight.*", "knees_straight"),
    (r"ankle_height.*", "foot_up"),
    (r"knee_height_above.*", "knee_up"),
    (r"feet_wide", "feet_wide"),
    (r"feet_together", "feet_near"),
    (r"held.*", "held"),
    (r"facing_camera", "facing_camera"),
    (r"facing_away", "facing_away"),
    (r"facing_image", "facing_side"),
)
"""Statements (whole key) and the section ``means.*`` that draws a conclusion from them."""


_ONLY_ON_FEET: Final = frozenset({"knees_bent", "knees_straight", "foot_up", "feet_wide", "feet_near"})
"""Conclusions that would be wrong of somebody who sits or lies."""

_SEATED_KINDS: Final = frozenset({"ride", "meal", "screen", "dress", "care", "any"})
"""Kinds of activity that do not show that somebody is on the feet."""

_OFF_FEET: Final = re.compile(r"\b(sit|seat|l[ai]e?y|sleep|rid|swim)\w*")
_ON_FEET: Final = frozenset({"standing", "standing_on", "ankle_height_above_other_ankle_one"})
_STEADY: Final = re.compile(r"feet_wide|(knee|elbows_and_knees)_bent.*|crouching|sitting.*|kneeling|lying")
_BRIEF: Final = re.compile(r"ankle_height.*|feet_together|horizontal|inverted|knee_height_above.*")


def reasoning(known: Known, writer: Writer) -> tuple[QuestionAnswer, ...]:
    """One exchange of some 60 to 150 words where enough is known."""
    domain = _domain(known)
    if known.lone is not None:
        return (_about_one(known, writer, known.lone, domain),)
    return (_about_group(known, writer, domain),)


def _about_one(known: Known, writer: Writer, who: Referent, domain: str) -> QuestionAnswer:
    about_stance = any(s.topic in ("legs", "posture") for s in known.statements[0])
    unfit = {*(() if about_stance else ("stable",)), *(("why",) if domain == "any" else ())}
    kind = writer.random.choice([k for k in _ASKS if k not in unfit])
    question = writer.write(f"reason.{kind}", who.slots(named=True))
    slots = {**who.slots(named=True), "activity": known.activity, "task": writer.form(f"{domain}.task")}
    start = writer.write(_start(known, domain), slots)
    said = known.statements[0]
    evidence = _evidence(writer, who, _fitting(said, known.activity, domain), _FACTS["lone"], known=True)
    return _exchange(question, [start, *evidence, *_ending(writer, domain, kind, said)])


def _start(known: Known, domain: str) -> str:
    """The section of opening sentences: a demand is named only where the activity or the posture makes one plain."""
    if not known.activity:
        return "start.bare" if domain == "any" else "start.plain"
    return "start.only" if domain.startswith("any") else "start.activity"


def _fitting(said: Sequence[Statement], activity: str, kind: str) -> list[Statement]:
    """Statements whose conclusion holds and is new.

    Nothing about feet and knees of somebody who is not known to be on them, and no posture that the activity names.
    """
    off_feet = not any(s.key in _ON_FEET for s in said) and (
        kind.partition(".")[0] in _SEATED_KINDS or _OFF_FEET.search(activity) or any(s.topic == "posture" for s in said)
    )
    new = [s for s in said if s.key not in activity.split()]
    return [s for s in new if not (off_feet and _meaning(s.key) in _ONLY_ON_FEET)]


def _about_group(known: Known, writer: Writer, domain: str) -> QuestionAnswer:
    """Also for scenes without any person who can be told apart: then from the captions alone."""
    task = writer.form(f"{domain}.task")
    if known.captions and domain.startswith("any"):
        start = people.scene_sentence(writer, known.captions[0], "scene")
    elif known.activity:
        start = writer.write("start.group_activity", {"activity": known.activity, "task": task})
    elif known.captions:
        caption = known.captions[0]
        shape = "clause" if caption.clause else "phrase"
        start = writer.write(f"start.scene.{shape}", {"text": caption.text, "task": task})
    elif known.facts.count is not None and known.count > 1:
        start = writer.write("start.group", {"number": number_word(known.count), "task": task})
    else:
        start = people.count_sentence(known, writer)
    evidence = [*_pair_evidence(known, writer)]
    for person in _most_told(known)[: 2 if evidence else 3]:
        who = known.referents[person]
        said = _fitting(known.statements[person], known.activity, domain if known.activity else "any")
        evidence += _evidence(writer, who, said, _FACTS["group"], known=False)
        if len(" ".join(evidence).split()) > _WORDS_ENOUGH - 40:
            break
    question = writer.form("reason.group" if known.count > 1 else "reason.scene")
    if known.count < 2:
        return _exchange(question, [start, *evidence, *_ending(writer, domain, "next", ())])
    together = writer.form(f"together.{_togetherness(known)}")
    after = () if domain == "any" else _ending(writer, domain, "after", ())
    return _exchange(question, [start, *evidence, writer.write("end.group", {"text": together}), *after])


def _togetherness(known: Known) -> str:
    """Whether the distances that are known show people close to each other, apart, or neither."""
    values = {d for pair in people.pairs(known) if (d := known.facts.pairs.get("distance", {}).get(pair))}
    return values.pop() if len(values) == 1 else "open"


def _exchange(question: str, sentences: Sequence[str]) -> QuestionAnswer:
    return QuestionAnswer(sentence(question), " ".join(dict.fromkeys(sentence(s) for s in sentences)))


def _most_told(known: Known) -> list[int]:
    """People by how much there is to conclude, most first."""
    return sorted(known.referents, key=lambda p: -sum(s.weight for s in known.statements[p] if _meaning(s.key)))


def _evidence(writer: Writer, who: Referent, said: Sequence[Statement], most: int, *, known: bool) -> Iterator[str]:
    """Facts, each followed by what it suggests; no conclusion twice."""
    telling = sorted((s for s in said if _meaning(s.key)), key=lambda s: -s.weight)
    chosen: dict[str, Statement] = {}
    for statement in telling:
        chosen.setdefault(_meaning(statement.key), statement)
    words = 0
    kept = list(chosen.items())[:most]
    for index, (meaning, statement) in enumerate(sorted(kept, key=lambda pair: said.index(pair[1]))):
        fact = tell_one(writer, who, statement, named=not known and index == 0)
        conclusion = writer.form(f"means.{meaning}")
        words += len(fact.split()) + len(conclusion.split())
        if words > _WORDS_ENOUGH:
            return
        yield fact
        yield conclusion


@functools.cache
def _meaning(key: str) -> str:
    """The section of conclusions for a statement; empty if it suggests nothing."""
    return next((meaning for pattern, meaning in _MEANINGS if re.fullmatch(pattern, key)), "")


def _pair_evidence(known: Known, writer: Writer) -> Iterator[str]:
    for pair in people.pairs(known):
        value = known.facts.pairs.get("distance", {}).get(pair, "")
        if value:
            yield people.pair_sentence(known, writer, "distance", pair)
            yield writer.form(f"means.{value}")
            return


def _ending(writer: Writer, domain: str, kind: str, said: Sequence[Statement]) -> Iterator[str]:
    """What answers the question that was asked, then something to add."""
    for end in _ENDINGS[kind]:
        if end == "stable":
            text = writer.form(f"stable.{_stability(said)}")
        else:
            text = writer.form(f"{domain}.{'task' if end == 'why' else end}")
        yield writer.write(f"end.{end}", {"text": text})


_ENDINGS: Final = {
    "why": ("why", "next"),
    "next": ("next", "advice"),
    "advice": ("advice", "next"),
    "stable": ("stable", "advice"),
    "after": ("next",),
}


def _stability(said: Sequence[Statement]) -> str:
    if any(_BRIEF.fullmatch(s.key) for s in said):
        return "brief"
    return "steady" if any(_STEADY.fullmatch(s.key) for s in said) else "open"


def _domain(known: Known) -> str:
    """The kind of activity: by the activity itself, else by the caption that the answer starts from."""
    text = known.activity or next((c.text for c in known.captions[:1] if c.subject), "")
    found = (name for name, pattern in _domain_patterns().items() if pattern.search(text.lower()))
    return next(found, _stance(known))


def _stance(known: Known) -> str:
    """The kind of activity that the posture itself tells, if everybody has the same."""
    posture = known.facts.people[0].whole.get("posture", "") if known.lone else people.common_posture(known)
    return f"any.{posture}" if f"any.{posture}.task" in forms() else "any"


@functools.cache
def _domain_patterns() -> dict[str, re.Pattern[str]]:
    patterns = {key.removesuffix(".words"): words[0] for key, words in forms().items() if key.endswith(".words")}
    return {name: re.compile(rf"\b({words})\b") for name, words in patterns.items()}
