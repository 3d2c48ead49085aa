"""Several questions and answers about a scene."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from kpray.schemas import QuestionAnswer
from kpray.teachers.geometric import people
from kpray.teachers.geometric.captions import tells_more
from kpray.teachers.geometric.checks import Exchange, check_exchanges
from kpray.teachers.geometric.comparisons import comparison_exchanges
from kpray.teachers.geometric.english import number_word, sentence
from kpray.teachers.geometric.facts import SIDES
from kpray.teachers.geometric.known import Known
from kpray.teachers.geometric.refer import Referent
from kpray.teachers.geometric.sentences import tell
from kpray.teachers.geometric.statements import Statement, Topic
from kpray.teachers.geometric.wording import Writer

_MIN, _MAX = 3, 6
_ASKED_ABOUT: Final = 3
_SIMPLE_TOPICS: Final[tuple[Topic, ...]] = ("trunk", "facing", "head", "held", "near")


def conversation(known: Known, writer: Writer) -> tuple[QuestionAnswer, ...]:
    """Three to six exchanges where there is that much to say: the scene first, then people and pairs.

    Open questions, yes-or-no questions and comparisons alternate; no question and no answer comes twice.
    """
    scene = list(_scene_exchanges(known, writer))
    asked = writer.shuffled(list(known.referents))[:_ASKED_ABOUT]
    opened = writer.shuffled([e for p in asked for e in _open_exchanges(known, writer, p)])
    checked = writer.shuffled([e for p in asked for e in check_exchanges(known, writer, p)])
    compared = writer.shuffled(list(comparison_exchanges(known, writer)))
    first = scene[: 1 + writer.chance(0.5)]
    mixed = _distinct([*first, *_alternating(opened, compared, opened, checked), *scene])
    return tuple(mixed[: writer.random.randint(_MIN + 1, _MAX)])


def _alternating(*queues: list[Exchange]) -> Iterator[Exchange]:
    """One from each queue in turn until all are empty; a queue given twice gives twice as often."""
    while any(queues):
        yield from (queue.pop() for queue in queues if queue)


def _distinct(exchanges: Iterable[Exchange]) -> list[QuestionAnswer]:
    """The exchanges without those whose subject, question or any answering sentence has been there before."""
    kept: list[QuestionAnswer] = []
    seen: set[str] = set()
    for about, exchange in exchanges:
        marks = {*about.split("|"), exchange.question, *re.split(r"(?<=[.!?]) ", exchange.answer)}
        if not marks & seen:
            kept.append(exchange)
            seen |= marks
    return kept


def _scene_exchanges(known: Known, writer: Writer) -> Iterator[Exchange]:
    """Count and activity in a drawn order, then what else can be said of the whole."""
    count = QuestionAnswer(writer.form("ask.count"), people.count_sentence(known, writer))
    activity = _activity_exchange(known, writer)
    summaries = [people.scene_sentence(writer, caption, "scene") for caption in known.captions[:2]]
    if activity is None and summaries:
        activity = QuestionAnswer(writer.form("ask.scene"), summaries[0])
    yield from writer.shuffled([("scene", e) for e in (activity,) if e] + [("count", count)])
    if objects := people.objects_sentence(known, writer):
        yield "objects", QuestionAnswer(writer.form("ask.objects"), objects)
    if len(summaries) == 2 and tells_more(known.captions[1], summaries[0]):
        yield "other_words", QuestionAnswer(writer.form("ask.other_words"), summaries[1])
    if known.facts.count is not None and known.count > 1:
        answer = writer.write("answer.only_one", {"number": number_word(known.count)})
        yield "count", QuestionAnswer(writer.form("ask.only_one"), answer)


def _activity_exchange(known: Known, writer: Writer) -> QuestionAnswer | None:
    if not known.activity:
        return None
    if known.lone is None:
        answer = writer.write("answer.group_activity", {"activity": known.activity})
        return QuestionAnswer(writer.form("ask.group_activity"), sentence(answer))
    question = writer.write("ask.activity", known.lone.slots(named=True))
    slots = {**known.lone.slots(named=writer.chance(0.5)), "activity": known.activity}
    return QuestionAnswer(question, sentence(writer.write("answer.activity", slots)))


def _open_exchanges(known: Known, writer: Writer, person: int) -> Iterator[Exchange]:
    """Questions about one part of a person's pose."""
    who = known.referents[person]
    by_topic: dict[str, list[Statement]] = {}
    for statement in known.statements[person]:
        by_topic.setdefault(statement.topic, []).append(statement)
    for topic in _SIMPLE_TOPICS:
        if topic in by_topic:
            yield f"{topic} {person}", _told(writer, who, f"ask.{topic}", by_topic[topic][:2])
    if "posture" in by_topic:
        said = [*by_topic["posture"], *by_topic.get("trunk", [])[:1]]
        yield f"posture {person}|trunk {person}", _told(writer, who, "ask.posture", said)
    for limbs in ("arms", "legs"):
        if limbs in by_topic:
            said = most_telling(by_topic[limbs], 3)
            yield f"{limbs} {person}", _told(writer, who, f"ask.{limbs}", said)
    arms = [*by_topic.get("arms", []), *by_topic.get("held", [])]
    for side in SIDES:
        if of_side := [s for s in arms if s.slots.get("side") == side]:
            asked = _told(writer, who, "ask.side_arm", most_telling(of_side, 2), side=side)
            yield f"arms {person}", asked


def most_telling(said: Sequence[Statement], most: int) -> list[Statement]:
    """The most telling of the statements, in their order."""
    best = sorted(said, key=lambda s: -s.weight)[:most]
    return [s for s in said if s in best]


def _told(writer: Writer, who: Referent, ask: str, said: Sequence[Statement], *, side: str = "") -> QuestionAnswer:
    question = writer.write(ask, {**who.slots(named=True), "side": side})
    return QuestionAnswer(sentence(question), " ".join(tell(writer, who, said, known=writer.chance(0.6))))
