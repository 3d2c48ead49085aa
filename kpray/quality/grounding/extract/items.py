"""Items: what the grammar sees of a sentence. A phrase or a word is one item, and one word of the rendered sentence."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

import msgspec

from kpray.quality.grounding.claims import Mention
from kpray.quality.grounding.text import Token


@dataclass(slots=True, eq=False)
class Item:
    """A noun phrase, a place in the image, or a word.

    Attributes:
        kind: ``person``, ``part``, ``thing``, ``place``, ``beside_of`` ("to the left of"), ``own_side``, ``word``.
        text: How the patterns see it: a lemma, or ``P``, ``T``, ``ARM``, ``LEFTOF`` and so on.
        first: Index of its first token.
        last: Index after its last token.
        head: Lemma of the noun.
        det: Determiner, in lower case; empty without one.
        words: Lemmas in front of the noun.
        side: Of a part: ``left``, ``right``, ``both``, ``one`` or empty where nothing is said.
        plural: Whether the noun is plural.
        count: Number in front of the noun.
        at_least: Whether that number may be exceeded.
        owner: Whose part it is ("the man's arm"); the item of the owner.
        pronoun: Whose part it is ("his").
        mention: Of a person.
        entity: Of a person; -1 where it is not known.
        where: Of a person: the place in the image that the words behind the noun say.
        rank: Likewise, the ordinal.
        rank_from: Likewise, the side of the image that it counts from.
        having: Likewise, lemmas of things.
        until: Index after the last token of these words; 0 without any.
    """

    kind: str
    text: str
    first: int
    last: int
    head: str = ""
    det: str = ""
    words: tuple[str, ...] = ()
    side: str = ""
    plural: bool = False
    count: int | None = None
    at_least: bool = False
    owner: Item | None = None
    pronoun: str = ""
    mention: Mention | None = None
    entity: int = -1
    where: str = ""
    rank: int | None = None
    rank_from: str = ""
    having: tuple[str, ...] = ()
    until: int = 0

    @property
    def is_phrase(self) -> bool:
        """Whether it is a noun phrase."""
        return self.kind in ("person", "part", "thing")


def unsure(item: Item) -> Item:
    """The same people, marked as a guess."""
    mention = msgspec.structs.replace(item.mention, certain=False) if item.mention else None
    return Item("person", "P", item.first, item.last, mention=mention, entity=item.entity, plural=item.plural)


@dataclass(slots=True)
class Sentence:
    """A sentence as items.

    Attributes:
        tokens: All tokens.
        items: Their phrases and words; adverbs without a say are left out.
        line: The items' texts, each between spaces, for regular expressions.
        at: Where each item's text starts in `line`.
    """

    text: str
    tokens: list[Token]
    items: list[Item]
    line: str = ""
    at: list[int] = field(default_factory=list)

    def render(self) -> None:
        """Fill `line` and `at` from the items."""
        position = 1
        self.at = []
        for item in self.items:
            self.at.append(position)
            position += len(item.text) + 1
        self.line = " " + " ".join(item.text for item in self.items) + " "

    def index(self, position: int) -> int:
        """Index of the item at a position of `line`."""
        return max(0, bisect_right(self.at, position) - 1)

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Characters of the text from item `first` up to and with item `last`."""
        chosen = self.items[first : last + 1]  # rewritten sentences have another order than the text
        start, end = min(item.first for item in chosen), max(item.last for item in chosen)
        return self.tokens[start].start, self.tokens[end - 1].end

    def words_of(self, item: Item) -> str:
        """An item as written."""
        return self.text[self.tokens[item.first].start : self.tokens[item.last - 1].end]
