"""Whom each word of a sentence is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from kpray.quality.grounding.claims import Mention
from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.governing import Governing
from kpray.quality.grounding.extract.items import Item, Sentence, unsure
from kpray.quality.grounding.extract.people import Discourse, Quantity, make_mention

_NO_ONE_KNOWN: Final = lex.words("you we i one it those these some this most half")
"""Subjects that are nobody the conversation has named."""


@dataclass(slots=True)
class Subjects:
    """Whom a verb would be about, item by item.

    Attributes:
        finite: For a verb with its own clause: the clause's subject.
        near: For a participle or adjective: the noun phrase right before it, or the subject.
    """

    finite: list[tuple[Item, ...]] = field(default_factory=list)
    near: list[tuple[Item, ...]] = field(default_factory=list)


def read_subjects(sentence: Sentence, discourse: Discourse) -> Subjects:
    """Go through a sentence, settle whom each phrase means, and note the subject at each item."""
    return _Reader(sentence, discourse).read()


class _Reader(Governing):
    def __init__(self, sentence: Sentence, discourse: Discourse) -> None:
        self.sentence = sentence
        self.items = sentence.items
        self.discourse = discourse
        self.subject: tuple[Item, ...] = ()
        self.named = False
        self.main: tuple[Item, ...] = ()
        self.near: tuple[Item, ...] = ()
        self.after_comma = True
        self.found = Subjects()
        self.lead = self._person_after_opening()
        if self.lead is not None:
            self.subject = (self.lead,)
        elif self._is_fragment():
            mention, entity = discourse.focus(sentence.words_of(self.items[0]))
            self.subject = (Item("person", "P", 0, 1, mention=mention, entity=entity),)

    def read(self) -> Subjects:
        for index, item in enumerate(self.items):
            if item.kind == "bare" and self._is_subject(index):
                self._stand_in(item)
            if item.kind == "person":
                self._settle(index, item)
            elif item.kind in ("part", "side", "own_side", "thing"):
                self._owner(index, item)
            if item.is_phrase:
                self._phrase(index, item)
            elif item.text in (",", ";", "while", "but", "and", ":"):
                self.near = ()
            elif (
                self.sentence.tokens[item.first].lower in _NO_ONE_KNOWN
                and item.kind == "word"
                and not self._governed(index, self.items[index - 1] if index else None)
            ):
                self.subject, self.near = (), ()
            elif item.text == "who" or (item.text in ("that", "which") and self._relates(index)):
                self._relative(index)
            self._main_clause(index, item)
            self.found.finite.append(self.subject)
            self.found.near.append(self.near or self.subject)
        return self.found

    def _relative(self, index: int) -> None:
        """As in "the man, who ...": the person right before it; a guess if the sentence is about another."""
        before = self.items[index - 1] if index else None
        if before is not None and before.kind == "thing" and self.items[index].text != "who":
            self.main, self.subject, self.near = self.subject, (before,), ()
            return
        named = [item for item in self.items[:index] if item.kind == "person" and item.mention is not None]
        people = [item for item in named if not item.pronoun] or named
        if not people or people[-1] in self.subject:
            return
        self.main = self.subject
        self.subject = (people[-1],) if self.items[index - 1].text == "," else (unsure(people[-1]),)
        self.near = ()

    def _relates(self, index: int) -> bool:
        """As in "a mirror that sits": a phrase before it and a verb after it."""
        before, after = self.items[index - 1] if index else None, self.items[index + 1 : index + 2]
        return before is not None and before.is_phrase and bool(after) and after[0].text in lex.VERBS

    def _main_clause(self, index: int, item: Item) -> None:
        """After "who ...," a finite verb belongs to the main clause again."""
        lower = self.sentence.tokens[item.first].lower
        finite = item.text == "be" or (item.kind == "word" and item.text in lex.VERBS and lower.endswith("s"))
        if self.main and finite and self.items[index - 1].text == ",":
            self.subject, self.near, self.main = self.main, (), ()

    # Whom a phrase means.

    def _person_after_opening(self) -> Item | None:
        """The subject that follows "With his arms raised," or "Standing on one leg,"."""
        if not self.items or not (self._opens_with_phrase()):
            return None
        for index, item in enumerate(self.items[:-1]):
            if item.text == ",":
                after = self.items[index + 1]
                return after if after.kind == "person" else None
        return None

    def _is_fragment(self) -> bool:
        """As in "With both arms raised." and "Sitting." as answers: about whom the question is."""
        if not self.items or not self.discourse.known or any(item.kind in ("person", "place") for item in self.items):
            return False
        first = self.sentence.tokens[self.items[0].first].lower
        finite = any(item.text in ("be", "have", "do", "there", "it") for item in self.items)
        return not finite and (first == "with" or (first.endswith("ing") and self.items[0].text in lex.VERBS))

    def _opens_with_phrase(self) -> bool:
        first = self.items[0]
        lower = self.sentence.tokens[first.first].lower
        opening = first.text in ("with", "in", "on", "from", "by", "while", "from", "as") or lower.endswith(
            ("ing", "ed")
        )
        return opening or lower in ("bent", "held") or (first.kind == "part" and "TORSO" not in first.text)

    def _settle(self, index: int, item: Item) -> None:
        if item.mention is not None:
            return
        if item.pronoun:
            item.mention, item.entity = self._refer(item.pronoun, self.sentence.words_of(item), item)
            item.plural = item.pronoun in ("they", "them", "themselves") and item.mention.quantity != "one"
            return
        mention = make_mention(self.sentence, index)
        if mention.quantity == "none" or item.head == "" or item.det in ("someone", "somebody", "anyone", "anybody"):
            item.mention = mention
        else:
            self.discourse.introduce(item, mention)

    def _is_subject(self, index: int) -> bool:
        """Whether "the other", "one" or "both" means people: a verb follows, and no hand or leg came before."""
        after = self.items[index + 1] if index + 1 < len(self.items) else None
        limb = any(item.kind == "part" and item.side == "one" for item in self.items[:index])
        before = self.items[index - 1] if index else None
        verb = after is not None and after.kind == "word" and after.text in lex.VERBS
        of_things = bool(self.subject) and self.subject[-1].kind == "thing"
        return verb and not limb and not of_things and not self._governed(index, before)

    def _stand_in(self, item: Item) -> None:
        """Make people of it: some, or the others, of those spoken of."""
        det = item.det.split()
        head = self.discourse.known[-1].mention.head if self.discourse.known else ""
        other = "other" in det or "others" in det
        denied = item.first and self.sentence.tokens[item.first - 1].lower == "not" and det[0] in ("one", "a")
        quantity: Quantity = (
            "none"
            if denied
            else "all"
            if det[0] in ("both", "all", "each")
            else "none"
            if det[0] in ("none", "neither")
            else "some"
        )
        if det[0] == "the" and item.count:
            quantity = "all"
        if other and "the" in det:
            quantity = "all" if item.plural else "one"
        item.kind, item.text, item.head = "person", "P", head
        certain = not other
        head = head or "person"
        item.mention = Mention(
            text=self.sentence.words_of(item),
            quantity=quantity,
            head=head,
            other=other,
            certain=certain,
            count=item.count,
        )

    def _refer(self, pronoun: str, text: str, item: Item | None) -> tuple[Mention, int]:
        lead = self.lead
        if lead is not None and not self.named and lead is not item:
            if lead.mention is None and not lead.pronoun:
                self._settle(self.items.index(lead), lead)
            if lead.mention is not None and not lead.pronoun:
                return self.discourse.refer(pronoun, [lead], text)
        preferred = list(self.subject)
        if item is not None:  # "He" as a subject is rarely the clause before; "him" is never the subject
            preferred = []
        elif self.near and self.near[-1].kind == "person" and self.near != self.subject:
            preferred = [*self.near, *preferred]
        return self.discourse.refer(pronoun, [one for one in preferred if one.kind == "person"], text)

    def _owner(self, index: int, item: Item) -> None:
        """Whose part it is, where the text says it: "his arm", "the man's arm", "the arm of the man"."""
        if item.owner is not None:
            if item.owner.kind == "person":
                self._settle_owner(item.owner)
            return
        if item.kind == "thing" and not (
            item.text.startswith("POSE") or item.head in ("spot", "place", "location", "weight", "seat", "area")
        ):
            return
        of = index + 2 < len(self.items) and self.items[index + 1].text == "of"
        if of and item.kind == "thing" and self.items[index + 2].kind == "person":
            self._settle(index + 2, self.items[index + 2])
            item.owner = self.items[index + 2]
        elif item.det.startswith("whose"):
            item.owner = next(
                (one for one in reversed(self.items[:index]) if one.kind == "person" and one.mention), None
            )
        elif item.pronoun in lex.POSSESSIVES:
            owner = Item("person", "P", item.first, item.first + 1, pronoun=item.pronoun)
            owner.mention, owner.entity = self._refer(item.pronoun, self.sentence.tokens[item.first].lower, None)
            owner.plural = owner.mention.quantity == "all" and item.pronoun == "their"
            item.owner = owner

    def _settle_owner(self, owner: Item) -> None:
        if owner.mention is None and not owner.pronoun:
            self.discourse.introduce(owner, _bare_mention(self.sentence, owner))

    # Who is the subject.

    def _phrase(self, index: int, item: Item) -> None:
        before = self.items[index - 1] if index else None
        if item.kind == "part":
            self._part(index, item, before)
            return
        self.near = (item,)
        if not self._governed(index, before):
            joined = self._joined(index)
            self.subject = (*self.subject, item) if joined else (item,)
            self.named = True
            self.near = self.subject
        elif item.kind == "person" and self._presented(index):
            self.subject = (item,)
        if item in self.subject and item.kind == "person":
            self.discourse.note_subject(item)

    def _part(self, index: int, item: Item, before: Item | None) -> None:
        of = self.items[index + 1] if index + 1 < len(self.items) else None
        owner = self.items[index + 2] if index + 2 < len(self.items) else None
        if item.owner is None and of and of.text == "of" and owner and owner.kind == "person":
            self._settle(index + 2, owner)
            item.owner = owner
        if not self._governed(index, before) and item.owner is not None and item.owner.kind == "person":
            self.subject = (item.owner,)
            self.near = ()


def _bare_mention(sentence: Sentence, owner: Item) -> Mention:
    det = owner.det.split()
    plural = owner.plural
    mention = Mention(
        text=sentence.text[sentence.tokens[owner.first].start : sentence.tokens[owner.last - 1].end],
        quantity="all" if plural and det[:1] in (["the"], ["both"], ["all"]) else ("some" if plural else "one"),
        head=owner.head,
        words=tuple(word for word in owner.words if word not in ("left", "right", "other")),
        other="other" in det or "other" in owner.words,
    )
    return msgspec.structs.replace(mention, count=owner.count if plural else None)
