"""Yes-or-no questions about one person, asked only where the codes decide the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from kpray.schemas import QuestionAnswer
from kpray.teachers.geometric.english import capitalised, sentence
from kpray.teachers.geometric.known import Known
from kpray.teachers.geometric.refer import Referent
from kpray.teachers.geometric.sentences import phrase
from kpray.teachers.geometric.statements import Statement
from kpray.teachers.geometric.wording import Writer

Finding = tuple[bool, str]
"""Whether the answer is yes, and a clause that explains it."""

Exchange = tuple[str, QuestionAnswer]
"""What an exchange is about (parts joined by ``|``), so that nothing is asked twice, and the exchange."""


def check_exchanges(known: Known, writer: Writer, person: int) -> Iterator[Exchange]:
    """All yes-or-no questions about a person that the codes decide."""
    who = known.referents[person]
    for name, (about, check) in _CHECKS.items():
        finding = check(known, writer, person)
        if finding is not None:
            yes, clause = finding
            question = sentence(writer.write(f"ask.{name}", who.slots(named=True)))
            slots = {"clause": clause, "Clause": capitalised(clause)}
            answer = sentence(writer.write("answer.yes" if yes else "answer.no", slots))
            yield f"{about} {person}", QuestionAnswer(question, answer)
    if known.lone is not None:
        yield "count", _alone(writer, known.lone)


def _alone(writer: Writer, who: Referent) -> QuestionAnswer:
    """Two wordings of one question, whose answers are opposite."""
    form = writer.form("ask.alone")
    answer = "answer.alone.alone" if " alone " in form else "answer.alone.else"
    words = who.slots(named=writer.chance(0.3))
    return QuestionAnswer(sentence(form.format_map(who.slots(named=True))), sentence(writer.write(answer, words)))


def _clause(writer: Writer, who: Referent, statement: Statement) -> str:
    """The statement as a clause about "he", "she" or "they"."""
    words = who.slots(named=False)
    return f"{words['who']} {phrase(writer, who, statement, 'vp', named=False)}"


def _posture_check(asked: str) -> Callable[[Known, Writer, int], Finding | None]:
    def check(known: Known, writer: Writer, person: int) -> Finding | None:
        posture = known.facts.people[person].whole.get("posture")
        if posture is None:
            return None
        return posture == asked, _clause(writer, known.referents[person], Statement(posture, "posture"))

    return check


def _hand_above_head(known: Known, writer: Writer, person: int) -> Finding | None:
    """Yes for one hand is enough; no needs to know of both."""
    heights = known.facts.people[person].sided.get("wrist_height", {})
    above = [side for side, height in heights.items() if height == "above_head"]
    who = known.referents[person]
    if above:
        key = "wrist_height_above_head_both" if len(above) == 2 else "wrist_height_above_head_one"
        return True, _clause(writer, who, Statement(key, "arms", {"side": above[0]}))
    if len(heights) == 2:
        return False, writer.write("answer.not_above_head", who.slots(named=False))
    return None


def _bent_check(joint: str) -> Callable[[Known, Writer, int], Finding | None]:
    def check(known: Known, writer: Writer, person: int) -> Finding | None:
        value = known.facts.people[person].both(joint)
        if value is None:
            return None
        statement = Statement(f"{joint}_{value}_both", "legs" if joint == "knee" else "arms")
        return value != "straight", _clause(writer, known.referents[person], statement)

    return check


def _hand_on_hip(known: Known, writer: Writer, person: int) -> Finding | None:
    """No needs to know that both hands are clearly above the shoulders, so that none can be at the hip."""
    of = known.facts.people[person]
    sides = list(of.sided.get("hand_on_hip", {}))
    who = known.referents[person]
    if sides:
        key = "hand_on_hip_both" if len(sides) == 2 else "hand_on_hip_one"
        return True, _clause(writer, who, Statement(key, "arms", {"side": sides[0]}))
    height = of.both("wrist_height")
    if height in ("above_head", "above_shoulder"):
        return False, _clause(writer, who, Statement(f"wrist_height_{height}_both", "arms"))
    return None


def _arms_crossed(known: Known, writer: Writer, person: int) -> Finding | None:
    whole = known.facts.people[person].whole
    who = known.referents[person]
    if "arms_crossed" in whole:
        return True, _clause(writer, who, Statement("arms_crossed", "arms"))
    if whole.get("hands") == "apart":
        return False, writer.write("answer.arms_not_crossed", who.slots(named=False))
    return None


def _upright(known: Known, writer: Writer, person: int) -> Finding | None:
    torso = known.facts.people[person].whole.get("torso")
    if torso is None:
        return None
    key = "upright" if torso == "vertical" else torso
    return torso == "vertical", _clause(writer, known.referents[person], Statement(key, "trunk"))


_CHECKS: Final[dict[str, tuple[str, Callable[[Known, Writer, int], Finding | None]]]] = {
    "sitting": ("posture", _posture_check("sitting")),
    "standing": ("posture", _posture_check("standing")),
    "lying": ("posture", _posture_check("lying")),
    "hand_above_head": ("overhead", _hand_above_head),
    "knees_bent": ("knees", _bent_check("knee")),
    "elbows_bent": ("elbows", _bent_check("elbow")),
    "hand_on_hip": ("hand on hip", _hand_on_hip),
    "arms_crossed": ("arms crossed", _arms_crossed),
    "upright": ("trunk", _upright),
}
"""For each question what it is about, and how it is decided."""
