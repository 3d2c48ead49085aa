"""What a word's surroundings do to it: denied, only thought, or no statement at all."""

from __future__ import annotations

import itertools
from typing import Final, NamedTuple

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item, Sentence


class Scope(NamedTuple):
    """What holds at one item.

    Attributes:
        negated: The text denies it.
        hedged: The text only thinks so.
        unreal: The text does not state it: advice, a wish, a condition, the past or the future, a general rule.
    """

    negated: bool = False
    hedged: bool = False
    unreal: bool = False


_NEGATIONS: Final = frozenset({"not", "never", "neither", "nor", "without", "hardly", "barely"})
_HEDGES: Final = lex.words(
    """
    likely probably possibly perhaps maybe apparently seemingly presumably supposedly seem presume assume guess
    """
)
_LOOKS: Final = frozenset({"appear", "look"})
_UNREAL: Final = lex.words(
    """
    can could should would will shall must ought need want wish plan intend try attempt prepare aim hope help
    allow enable require encourage recommend advise prevent avoid imagine pretend learn important essential
    crucial necessary usually typically generally commonly normally frequently often sometimes always ideally
    rarely tend before after until unless when whenever whether ready able about going used goal purpose
    possible expect risk chance improve ensure promote reduce minimize maximize provide
    """
)
_ENDS: Final = lex.words(
    """
    ; : but however while whereas although though ( ) — – --
    """
)
_SEEING: Final = frozenset({"count", "see", "observe", "spot", "notice", "find", "tell", "say", "view"})
_THINKING: Final = frozenset({"say", "guess", "think", "be", "have"})
_MODALS: Final = lex.words("can could should would will shall must may might")
_RULE_WORDS: Final = lex.words("often usually typically generally commonly normally frequently sometimes always tend")
_EXCEPTIONS: Final = frozenset({"except", "excluding"})
_EVERYBODY: Final = frozenset({"all", "everyone", "everybody", "nobody", "none", "no"})
_SCREENS: Final = frozenset(
    {"tv", "television", "screen", "poster", "painting", "billboard", "mural", "magazine", "sign"}
)
_PAST: Final = frozenset({"was", "were", "had"})


def read_scopes(sentence: Sentence) -> list[Scope]:
    """The scope at each item of the sentence."""
    reader = _Reader(sentence)
    return [reader.step(index, item) for index, item in enumerate(sentence.items)]


def _is_general(sentence: Sentence) -> bool:
    """As in "Skiers bend their knees": a bare plural without "are" speaks of all that there are anywhere."""
    items = sentence.items
    if not items or items[0].kind != "person" or items[0].pronoun or items[0].det or not items[0].plural:
        return False
    return not any(item.text == "be" for item in items[1:4])


def _has_picture(sentence: Sentence) -> bool:
    """As in "on the TV, a man is sitting", "a photo on the wall shows a man", "all but one"."""
    for before, item in itertools.pairwise(sentence.items):
        if item.kind == "thing" and item.head in _SCREENS and before.text in ("on", "in"):
            return True
        if before.text == "IMAGE" and before.det.startswith("a") and item.text in ("on", "hang"):
            return True
        if item.text == "but" and before.det.split()[:1] and before.det.split()[0] in _EVERYBODY:
            return True
    return False


def _excludes_some(sentence: Sentence) -> bool:
    """As in "everyone else"; "nobody else" and "as if nothing else mattered" leave nobody out."""
    return any(
        item.text == "else"
        and before.kind == "person"
        and before.det.split()[:1] != ["nobody"]
        and "no" not in before.det
        for before, item in itertools.pairwise(sentence.items)
    )


def _is_way(sentence: Sentence) -> bool:
    """As in "By leaning forward, he can gain speed"; and rules, which "often" and its like give away."""
    texts = {item.text for item in sentence.items}
    if texts & _EXCEPTIONS or _has_picture(sentence) or _excludes_some(sentence):
        return True
    return bool(texts & _RULE_WORDS) or (sentence.tokens[0].lower == "by" and bool(texts & _MODALS))


class _Reader:
    """Goes through a sentence from left to right and knows what holds where it is."""

    def __init__(self, sentence: Sentence) -> None:
        self.sentence = sentence
        self.items = sentence.items
        self.negated = self.hedged = self.unreal = self.infinitive = self.seen_verb = False
        first = [token.lower for token in sentence.tokens[:3]]
        self.looking = first[:1] == ["when"] and (first[1:2] == ["looking"] or first[1:2] in (["we"], ["you"], ["one"]))
        opened = first[0] in ("if", "when", "whenever", "unless", "should", "imagine") and not self.looking
        self.whole = opened or _is_general(sentence) or _is_way(sentence)

    def step(self, index: int, item: Item) -> Scope:
        """Take one item in, and say what holds at it."""
        if item.kind == "word":
            self._word(index, item.text, self.sentence.tokens[item.first].lower)
        elif item.is_phrase:
            self._phrase(index, item)
        unreal = self.whole or self.unreal or self.infinitive
        return Scope(self.negated, self.hedged, unreal)

    def _phrase(self, index: int, item: Item) -> None:
        """A subject after "and", "," or nothing begins a clause of its own, if one has been there before."""
        before = self._text(index - 1)
        begins = item.kind == "person" or (item.kind == "part" and self._is_verb(index + 1))
        if begins and self.seen_verb and before in (",", "and", "because", "since", "as", "so"):
            self.negated = self.hedged = self.infinitive = self.unreal = self.seen_verb = False

    def _is_verb(self, index: int) -> bool:
        if index + 2 < len(self.items) and self._text(index) == "of":
            index += 2
        item = self.items[index] if index < len(self.items) else None
        if item is None or item.kind != "word":
            return False
        lower = self.sentence.tokens[item.first].lower
        return item.text == "be" or (item.text in lex.VERBS and lower.endswith("s"))

    def _word(self, index: int, text: str, lower: str) -> None:
        if text in _ENDS or (text == "with" and not self.infinitive):
            self._new_clause(text)
        elif text == "," and self.looking:
            self.looking = self.unreal = False  # "When we look at the man, ..."
        elif text == ",":
            self.negated = self.negated and self._text(index + 1) in ("or", "nor")
            self.infinitive = False
        elif text in _NEGATIONS or lower == "n't" or (text == "no" and self._text(index + 1) == "long"):
            self._deny(index, text)
        elif text == "far" and self._text(index + 1) == "from":
            after = self.items[index + 2] if index + 2 < len(self.items) else None
            self.unreal = self.unreal or after is None or after.kind == "word"  # "far from straight"
        elif text in ("rather", "instead") and self._text(index + 1) in ("than", "of"):
            self.negated = True
        elif text == "if":
            self._condition(index)
        elif text == "to":
            self._to(index)
        else:
            self._other(index, text, lower)
        if text in lex.VERBS or text in _MODALS or lower.endswith(("ing", "ed")):
            self.seen_verb = True

    def _new_clause(self, text: str) -> None:
        if text != "with":
            self.unreal = self.infinitive = self.hedged = False
        self.negated = False
        self.seen_verb = False

    def _deny(self, index: int, text: str) -> None:
        """As in "not", but neither "not only ... but" nor "why not"."""
        if self._text(index + 1) in ("only", "just", "merely", "simply"):
            return
        after = self.items[index + 1] if index + 1 < len(self.items) else None
        if after is not None and after.kind in ("person", "bare") and after.det.startswith(("a single", "one")):
            return  # nobody: the phrase says it
        if self._det(index + 1) in ("all", "both", "every", "each", "everyone", "everybody"):
            self.unreal = True
        self.negated = True

    def _condition(self, index: int) -> None:
        """As in "as if" is a guess, any other "if" no statement."""
        if self._text(index - 1) == "as":
            self.hedged = True
        else:
            self.unreal = True

    def _to(self, index: int) -> None:
        """As in "to" in front of a verb makes a goal, unless something only seems to be so."""
        after = self.items[index + 1] if index + 1 < len(self.items) else None
        if after is None or after.kind != "word" or after.text in lex.PRONOUNS or after.text in ("me", "us"):
            return
        verb = self.sentence.tokens[after.first]
        if verb.lower != verb.lemma or not verb.lower.isalpha():
            return
        before = self._text(index - 1)
        told = self.hedged and before in ("appear", "seem", "look", "likely", "presume", "suppose", "believe", "assume")
        told = told or (before in ("see", "show", "know") and verb.lemma in ("be", "have"))
        faced = verb.lemma == "face" and "turn" in (self._text(index - 1), self._text(index - 2))
        used = faced or (before == "HAND" and verb.lemma in ("hold", "grip", "grasp", "carry", "touch"))
        self.infinitive = self.infinitive or not (told or used)

    def _other(self, index: int, text: str, lower: str) -> None:
        after = self._text(index + 1)
        if text in ("can", "could") and (after in _SEEING or (after == "be" and self._text(index + 2) in _SEEING)):
            return
        if text in ("may", "might"):
            state = after in ("be", "have") or self._next_lower(index) == "well"
            self.hedged, self.unreal = self.hedged or state, self.unreal or not state
        elif self._is_hedge(index, text, lower):
            self.hedged = True
        elif text in _LOOKS and index + 1 < len(self.items) and lower.startswith("appear"):
            self.hedged = self.items[index + 1].kind == "word" and after not in (
                "in",
                "on",
                "at",
                "near",
                "behind",
                "from",
            )
        elif text in ("suggest", "indicate", "imply"):
            self.hedged = after == "that" or self.hedged
            self.unreal = after != "that" or self.unreal
        elif text in _UNREAL or lower in _PAST:
            self.unreal = self.unreal or not (text == "about" and after != "to")

    def _is_hedge(self, index: int, text: str, lower: str) -> bool:
        """As in "would say", "must be", "likely", "appears to"."""
        after = self._text(index + 1)
        thought = text in ("would", "must") and bool({after, self._text(index + 2)} & _THINKING)
        likened = text in _LOOKS and after in ("to", "like", "as", "that")
        return thought or text in _HEDGES or likened or lower == "suggests"

    def _next_lower(self, index: int) -> str:
        after = self.items[index].last
        return self.sentence.tokens[after].lower if after < len(self.sentence.tokens) else ""

    def _text(self, index: int) -> str:
        return self.items[index].text if 0 <= index < len(self.items) else ""

    def _det(self, index: int) -> str:
        return "".join(self.items[index].det.split()[:1]) if 0 <= index < len(self.items) else ""
