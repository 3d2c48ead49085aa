"""Questions about several people: places, sizes, and what they have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kpray.schemas import QuestionAnswer
from kpray.teachers.geometric import people
from kpray.teachers.geometric.checks import Exchange
from kpray.teachers.geometric.english import listing, number_word, sentence
from kpray.teachers.geometric.known import Known
from kpray.teachers.geometric.refer import everybody
from kpray.teachers.geometric.sentences import phrase
from kpray.teachers.geometric.statements import Topic
from kpray.teachers.geometric.wording import Writer

_RELATIONS: Final = ("order", "size", "overlap", "distance", "height")
_SHARED: Final[tuple[Topic, ...]] = ("posture", "facing")


def comparison_exchanges(known: Known, writer: Writer) -> Iterator[Exchange]:
    """All questions about pairs of neighbours and about everybody that the codes decide."""
    for pair in writer.shuffled(list(people.pairs(known)))[:2]:
        names = {"a": known.referents[pair[0]].name, "b": known.referents[pair[1]].name}
        for name in _RELATIONS:
            told_by_names = name == "order" and people.named_by_place(known, pair)
            if not told_by_names and (answer := people.pair_sentence(known, writer, name, pair)):
                yield f"{name} {pair}", QuestionAnswer(sentence(writer.write(f"ask.pair.{name}", names)), answer)
        for topic in _SHARED:
            if answer := _shared(known, writer, topic, pair):
                yield f"{topic} {pair}", QuestionAnswer(sentence(writer.write(f"ask.pair.{topic}", names)), answer)
    yield from _about_everybody(known, writer)


def _shared(known: Known, writer: Writer, topic: Topic, pair: tuple[int, int]) -> str:
    """Whether two people have the same posture or face the same way, or empty text if that is not known."""
    found = [next((s for s in known.statements[p] if s.topic == topic), None) for p in pair]
    a, b = found
    if a is None or b is None or "object" in {**a.slots, **b.slots}:
        return ""
    words = {"a": known.referents[pair[0]].name, "b": known.referents[pair[1]].name}
    words["a_vp"] = phrase(writer, known.referents[pair[0]], a, "vp", named=True)
    words["b_vp"] = phrase(writer, known.referents[pair[1]], b, "vp", named=True)
    words["posture"] = phrase(writer, everybody(2), a, "vp", named=True)
    same = (a.key, a.slots) == (b.key, b.slots)
    return sentence(writer.write(f"answer.pair.{topic}.{'same' if same else 'different'}", words))


def _about_everybody(known: Known, writer: Writer) -> Iterator[Exchange]:
    postures = [p.whole.get("posture", "") for p in known.facts.people]
    if len(postures) < 2 or known.facts.count != len(postures) or not all(postures):
        return
    if set(postures) == {"standing"}:
        answer = sentence(writer.write("answer.all.standing.yes", {"group": everybody(len(postures)).name}))
    else:
        answer = _exceptions(writer, postures)
    yield "all standing", QuestionAnswer(writer.form("ask.all.standing"), answer)
    if "lying" not in postures:
        answer = writer.write("answer.all.lying.no", {"postures": " or ".join(sorted(set(postures)))})
        yield "all lying", QuestionAnswer(writer.form("ask.all.lying"), sentence(answer))


def _exceptions(writer: Writer, postures: list[str]) -> str:
    others = [p for p in dict.fromkeys(postures) if p != "standing"]
    parts = [f"{number_word(n := postures.count(p))} {'is' if n == 1 else 'are'} {p}" for p in others]
    return sentence(writer.write("answer.all.standing.no", {"exceptions": listing(parts)}))
