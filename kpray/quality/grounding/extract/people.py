"""Who is meant: mentions of people, and which of them are the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from kpray.quality.grounding.claims import Mention
from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.following import PLACES, Place, what_follows
from kpray.quality.grounding.extract.items import Item, Sentence

Quantity = Literal["one", "all", "some", "none"]

_ARTICLE_WORDS: Final = ("the", "this", "that", "these", "those", "both", "all")
_EACH: Final = lex.words("each every everyone everybody nobody no none neither one someone somebody")
_EMPTY_WORDS: Final = lex.words(
    """
    main only single lone sole visible solitary pictured photographed depicted shown
    portrayed centermost centremost middlemost one two three four five first second third fourth fifth last other
    pictured same various several central person own very left right middle center centre leftmost rightmost
    """
)


@dataclass(slots=True)
class Known:
    """Someone, or some people, of whom the conversation has spoken."""

    entity: int
    mention: Mention
    gender: str
    plural: bool
    sentence: int
    subject: bool


@dataclass(slots=True)
class Discourse:
    """Whom the conversation has spoken of, in the order of their last mention."""

    known: list[Known] = field(default_factory=list)
    sentence: int = 0
    entities: int = 0

    def introduce(self, item: Item, mention: Mention) -> None:
        """A noun phrase: the same as before, if it certainly is, or somebody new."""
        same = self._same(item, mention)
        gender = lex.GENDER.get(mention.head, "any")
        if same:
            self.known.remove(same)
            gender = same.gender if gender == "any" else gender
            mention = _with_more(mention, same.mention)
        entity = same.entity if same else self._new()
        item.mention, item.entity = mention, entity
        self.known.append(Known(entity, mention, gender, item.plural, self.sentence, False))

    def _new(self) -> int:
        self.entities += 1
        return self.entities - 1

    def _same(self, item: Item, mention: Mention) -> Known | None:
        """The one whom a definite phrase takes up; nobody where two fit."""
        det = item.det.split()
        if not det or det[0] not in _ARTICLE_WORDS or mention.quantity not in ("one", "all") or mention.other:
            return None
        fits = [known for known in self.known if _fits(known, item, mention)]
        if not fits and det == ["that"]:  # "that person", of whom the last sentence speaks
            near = [known for known in self.known if not known.plural and self.sentence - known.sentence <= 1]
            fits = near if mention.head == "person" and not mention.words else []
        return fits[-1] if len(fits) == 1 else None

    def note_subject(self, item: Item) -> None:
        """A later pronoun rather means this one."""
        for known in self.known:
            if known.entity == item.entity:
                known.subject, known.sentence = True, self.sentence

    def refer(self, pronoun: str, preferred: Iterable[Item], span_text: str) -> tuple[Mention, int]:
        """Whom a pronoun means.

        Args:
            pronoun: In lower case.
            preferred: People of the same clause, the likeliest first.
            span_text: The pronoun as written.
        """
        gender = lex.PRONOUN_GENDER.get(pronoun, "any")
        for item in preferred:
            if item.mention and _means_each(item):
                return item.mention, item.entity  # "everyone ... their" still says everyone
            if item.mention and item.entity >= 0 and _agrees(item.mention.head, gender, item.plural):
                return msgspec.structs.replace(item.mention, text=span_text), item.entity
        recent = [known for known in self.known if self.sentence - known.sentence <= 3]
        fitting = [known for known in recent if _agrees(known.mention.head, gender, known.plural)]
        if gender == "any":  # "they" is several people, or one who is neither he nor she
            fitting = [known for known in fitting if known.plural or known.gender == "any"] or fitting
        if not fitting:
            return Mention(text=span_text, quantity="all" if gender == "any" else "one", certain=False), -1
        last = max(known.sentence for known in fitting)
        nearest = [known for known in fitting if known.sentence == last]
        chosen = next((known for known in reversed(nearest) if known.subject), nearest[-1])
        sure = chosen.mention.certain and len({known.entity for known in fitting}) == 1
        return msgspec.structs.replace(chosen.mention, text=span_text, certain=sure), chosen.entity

    def focus(self, text: str) -> tuple[Mention, int]:
        """Whom a sentence is about that names nobody ("Both arms are raised.")."""
        if not self.known:
            return Mention(text=text, certain=False), -1
        latest = self.known[-1]
        people = {known.entity for known in self.known}
        return msgspec.structs.replace(latest.mention, text=text, certain=len(people) == 1), latest.entity


def _means_each(item: Item) -> bool:
    """As in "each of them has his arms raised", "nobody has his arms raised"."""
    first = item.det.split()[:1]
    if item.mention is not None and item.mention.quantity == "none":
        return True
    return bool(first) and first[0] in _EACH


def _agrees(head: str, gender: str, plural: bool) -> bool:
    if gender == "any":
        return True
    return not plural and lex.GENDER.get(head, "any") in (gender, "any")


def _fits(known: Known, item: Item, mention: Mention) -> bool:
    """Whether a definite phrase may take up somebody known: the same noun and number, and nothing against it."""
    before = known.mention
    if before.quantity not in ("one", "all") or known.plural != item.plural or before.head != mention.head:
        return False
    if (before.count, before.ordinal, before.ordinal_from) != (mention.count, mention.ordinal, mention.ordinal_from):
        return False
    if mention.place and before.place != mention.place:
        return False
    return set(mention.words) <= set(before.words) and set(mention.objects) <= set(before.objects)


def _with_more(mention: Mention, before: Mention) -> Mention:
    """A mention with what was said about the same people before."""
    return msgspec.structs.replace(
        mention, words=before.words, objects=before.objects, place=mention.place or before.place, certain=before.certain
    )


def make_mention(sentence: Sentence, index: int) -> Mention:
    """The mention that a person's noun phrase makes, with what follows it in the sentence."""
    item = sentence.items[index]
    det = item.det.split()
    follows = what_follows(sentence, index)
    ordinal = next((lex.ORDINALS[word] for word in det if word in lex.ORDINALS), None) or item.rank or follows.ordinal
    start, end = sentence.span(index, follows.end)
    if item.until:
        end = max(end, sentence.tokens[item.until - 1].end)
    return Mention(
        text=sentence.text[start:end],
        quantity="none" if _is_not_one(sentence, item) else _quantity(item, det),
        count=item.count if item.count and item.count > 1 and not item.at_least else None,
        head=item.head,
        words=tuple(word for word in (*item.words, *follows.words) if word not in _EMPTY_WORDS),
        place=PLACES.get(item.words[-1] if item.words else "", "")
        or ("" if ordinal else _place(item.where) or follows.place),
        ordinal=ordinal,
        ordinal_from=_rank_from(item) or follows.ordinal_from,
        objects=tuple(dict.fromkeys((*item.having, *follows.objects))),
        other=any(word in ("other", "others") for word in sentence.words_of(item).lower().split()),
    )


def _place(where: str) -> Place:
    return PLACES.get(where, "")


def _rank_from(item: Item) -> Literal["", "image_left", "image_right"]:
    place = PLACES.get(item.rank_from, "")
    return place if place in ("image_left", "image_right") else ""


def _is_not_one(sentence: Sentence, item: Item) -> bool:
    """As in "not a single skier", "not one of them"."""
    before = sentence.tokens[item.first - 1].lower if item.first else ""
    return before == "not" and item.det.startswith(("one", "a single"))


def _quantity(item: Item, det: list[str]) -> Quantity:
    if not det:
        return "some" if item.plural else "one"
    first = det[0]
    if first in ("no", "none", "neither", "nobody"):
        return "none"
    if first in ("everyone", "everybody", "each", "every", "both", "all"):
        return "all"
    if first in (
        "someone",
        "somebody",
        "anyone",
        "anybody",
        "any",
        "some",
        "several",
        "many",
        "few",
        "couple",
        "either",
    ):
        return "some"
    if first in lex.NUMBERS and len(det) > 1 and det[1] in ("the", "his", "her", "their", "these", "those"):
        return "some"
    if first in lex.NUMBERS and item.head in ("", "person") and item.last - item.first > 1 and item.words == ():
        return "some" if "them" in item.text or first != "one" else "one"
    if not item.plural:
        return "one"
    return "all" if first in _ARTICLE_WORDS or item.count else "some"
