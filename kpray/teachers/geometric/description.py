"""A description of a scene: what is going on, each person's pose, how they stand to each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from kpray.schemas import QuestionAnswer
from kpray.teachers.geometric import people
from kpray.teachers.geometric.captions import tells_more
from kpray.teachers.geometric.english import number_word, sentence, with_article
from kpray.teachers.geometric.known import Known
from kpray.teachers.geometric.refer import everybody
from kpray.teachers.geometric.sentences import phrase, tell
from kpray.teachers.geometric.statements import Statement
from kpray.teachers.geometric.wording import Writer

_WORDS_ENOUGH: Final = 170
_STATEMENTS: Final = {1: 10, 2: 7, 3: 5, 4: 4}
_RELATIONS: Final = ("order", "distance", "size", "height")


def description(known: Known, writer: Writer) -> tuple[QuestionAnswer, ...]:
    """One exchange without a question: up to some 200 words, fewer where less is known."""
    sentences = list(_opening(known, writer))
    words = 0
    for part in _body(known, writer):
        words = len(" ".join(sentences).split())
        if words > _WORDS_ENOUGH:
            break
        sentences += part
    sentences += _closing(known, writer, " ".join(sentences))
    return (QuestionAnswer("", " ".join(dict.fromkeys(sentences))),)


def _opening(known: Known, writer: Writer) -> Iterator[str]:
    """What is going on and how many people there are."""
    if known.lone is not None:
        yield _lone_opening(known, writer)
    elif known.activity:
        slots = {"number": number_word(known.count), "activity": known.activity}
        yield sentence(writer.write("open.group_activity", slots))
    else:
        if known.captions:
            yield people.scene_sentence(writer, known.captions[0], "scene")
        yield people.count_sentence(known, writer)


def _lone_opening(known: Known, writer: Writer) -> str:
    assert known.lone is not None
    bare = (known.lone.role if known.lone.role and writer.chance(0.4) else known.lone.name).removeprefix("the ")
    slots = {"a_name": with_article(bare), "bare_name": bare, "activity": known.activity}
    return sentence(writer.write("open.activity" if known.activity else "open.lone", slots))


def _body(known: Known, writer: Writer) -> Iterator[list[str]]:
    """Sentences about each person and, between them, about neighbours."""
    if posture := people.common_posture(known):
        group = everybody(known.count)
        vp = phrase(writer, group, Statement(posture, "posture"), "vp", named=True)
        yield [sentence(writer.write("all.posture", {"who": group.name, "vp": vp}))]
    most = _STATEMENTS.get(len(known.referents), 3)
    neighbours = dict(people.pairs(known))
    for person, who in known.referents.items():
        said = [s for s in known.statements[person] if s.key != posture and s.key not in known.activity.split()]
        chosen = _chosen(said, most)
        if not chosen:
            continue
        yield tell(writer, who, chosen)
        if person in neighbours:
            yield list(_relations(known, writer, (person, neighbours[person])))


def _chosen(said: Sequence[Statement], most: int) -> list[Statement]:
    """The most telling statements, in their order."""
    best = sorted(said, key=lambda s: -s.weight)[:most]
    return [s for s in said if s in best]


def _relations(known: Known, writer: Writer, pair: tuple[int, int]) -> Iterator[str]:
    """One relation of two neighbours; their order only if their names do not already tell it."""
    names = [n for n in writer.shuffled(_RELATIONS) if not (n == "order" and people.named_by_place(known, pair))]
    if known.facts.pairs.get("overlap", {}).get(pair) == "overlapping":
        names.append("overlap")
    sentences = (people.pair_sentence(known, writer, name, pair) for name in names)
    yield from [s for s in sentences if s][:1]


def _closing(known: Known, writer: Writer, text: str) -> Iterator[str]:
    """Things around, and the scene in the words of a caption that tells something new."""
    if objects := people.objects_sentence(known, writer):
        yield objects
    caption = next((c for c in known.captions if tells_more(c, text)), None)
    if caption is None:
        return
    if known.lone is not None and caption.activity and not caption.plural:
        slots = {**known.lone.slots(named=False), "activity": caption.activity}
        yield sentence(writer.write("more.activity", slots))
    else:
        yield people.scene_sentence(writer, caption, "more")
