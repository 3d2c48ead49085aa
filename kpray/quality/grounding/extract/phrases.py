"""A sentence into phrases and words: people, parts of a body, things, and places in the image."""

from __future__ import annotations

from typing import Final

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.edges import is_number
from kpray.quality.grounding.extract.items import Item, Sentence
from kpray.quality.grounding.extract.nouns import Nouns

_PARTICLES: Final = lex.words("toward towards away left right out up down to at on straight")
_EVERYBODY: Final = frozenset({"everyone", "everybody", "anyone", "anybody", "someone", "somebody", "nobody"})


_ONE_DOES: Final = lex.words("see notice can could might may would observe find")
"""Verbs before which "one" is anybody who looks."""


class Chunker(Nouns):
    """Reads the phrases of one sentence, from left to right."""

    def read(self) -> Sentence:
        """All items of the sentence, rendered."""
        items: list[Item] = []
        at = 0
        while at < self.size:
            item = self._place(at) or self._phrase(at, items) or self._word(at)
            if item.kind == "person" and _is_depicted(items):
                item.kind, item.text = "thing", "T"
            if item.kind != "word" or not self._is_silent(at, item.text):
                items.append(item)
            at = item.last
        return Sentence(self.text, self.tokens, items)

    # Noun phrases.

    def _phrase(self, at: int, items: list[Item]) -> Item | None:
        lower = self.lower[at]
        if lower == "one" and at + 1 < self.size and self.lemma[at + 1] in _ONE_DOES:
            return None
        if lower in ("he", "she", "they", "him", "them", "himself", "herself", "themselves"):
            return Item("person", "P", at, at + 1, pronoun=lower)
        if lower == "her" and not self._noun_follows(at + 1):
            return Item("person", "P", at, at + 1, pronoun=lower)
        if lower in _EVERYBODY or (lower == "no" and at + 1 < self.size and self.lower[at + 1] == "one"):
            last = at + (2 if lower == "no" else 1)
            return Item("person", "P", at, last, head="person", det=lower)
        if not self._can_start(at, items):
            return None
        return self._noun_phrase(at)

    def _noun_follows(self, at: int) -> bool:
        return at < self.size and self.lemma[at] not in lex.STOPS and self.lower[at][0].isalnum()

    def _can_start(self, at: int, items: list[Item]) -> bool:
        lower, lemma = self.lower[at], self.lemma[at]
        if (
            lower == "that"
            and self.lemma[at + 1 : at + 2]
            and self.lower[at + 1] in lex.GENDER
            and self.lower[at + 1] not in _EVERYBODY
        ):
            return True
        if lower == "that" or (lower == "no" and self.lower[at + 1 : at + 2] == ["longer"]):
            return False
        if lower == "no" and at == 0 and at + 1 < self.size and self.lower[at + 1] == ",":
            return False
        if lower in lex.DETERMINERS or lower in lex.NUMBERS or (is_number(lower) and len(lower) < 4):
            return True
        if lower == "none":
            return self.lower[at + 1 : at + 2] == ["of"]
        if lemma == "face" or (lower in ("hand", "hands", "head", "heads", "back", "hip", "side")):
            return self._is_noun_here(at, items)
        if lemma in lex.PARTS or lemma in lex.GENDER or lemma in lex.THINGS:
            return not (lemma in lex.VERBS and (lower != lemma) and not lower.endswith("s")) and self._is_noun_here(
                at, items
            )
        return self._leads_to_noun(at)

    def _is_noun_here(self, at: int, items: list[Item]) -> bool:
        """Whether a word that may be a verb ("faces", "hands", "bats", "heads", "skis") is a noun."""
        lower = self.lower[at]
        if lower in ("back", "front"):
            return False
        if items and items[-1].kind == "person" and lower.endswith(("s", "ed")) and self.lemma[at] in lex.VERBS:
            return False
        if self.lemma[at] not in (
            "face",
            "hand",
            "head",
            "back",
            "bat",
            "ski",
            "side",
            "cook",
            "model",
            "judge",
            "coach",
            "guard",
            "pitch",
            "fan",
            "surf",
            "paddle",
            "box",
            "cup",
            "book",
            "watch",
            "dress",
            "mouth",
            "eye",
            "brush",
            "kite",
            "stick",
            "post",
            "sign",
            "seat",
            "cap",
            "camera",
        ):
            return True
        if not items:
            return not (lower.endswith("ing"))
        before = items[-1]
        if lower.endswith("ing") or lower.endswith("ed"):
            return False
        if before.kind in ("person", "place") or before.text in ("who", "that", "which", "to", "not", "TORSO", "CHEST"):
            return False
        after = self.lower[at + 1] if at + 1 < self.size else ""
        if before.is_phrase and (after in lex.DETERMINERS or after in _PARTICLES):
            return False
        return not (
            before.text in ("and", ",") and (after in lex.DETERMINERS or after in ("toward", "towards", "away"))
        )

    def _is_silent(self, at: int, text: str) -> bool:
        """Whether an adverb tells nothing: "slightly", "right next to"."""
        lower = self.lower[at]
        if lower == "right":
            return at + 1 < self.size and self.lower[at + 1] in lex.PREPOSITIONS and self.lemma[at - 1] != "face"
        if lower == "rather" and self.lower[at + 1 : at + 2] == ["than"]:
            return False
        return text in lex.ADVERBS or (lower.endswith("ly") and len(lower) > 4 and lower not in _SPOKEN_ADVERBS)

    def _word(self, at: int) -> Item:
        lower, lemma = self.lower[at], self.lemma[at]
        return Item("word", lemma.replace(" ", "_") or lower, at, at + 1)


def _is_depicted(items: list[Item]) -> bool:
    """As in "a statue of a man", "has a picture of a man"; but "this is a picture of a man"."""
    if len(items) < 2 or items[-1].text != "of" or items[-2].kind != "thing":
        return False
    within = len(items) > 2 and items[-3].text != "be" and items[-2].text == "IMAGE" and items[-2].det.startswith("a")
    return within or items[-2].head in lex.UNREAL


_SPOKEN_ADVERBS: Final = lex.words(
    """
    likely probably possibly apparently seemingly presumably perhaps maybe usually typically generally
    laterally frontally horizontally vertically
    commonly normally frequently hardly barely rarely only approximately roughly supposedly ideally mostly
    """
)
