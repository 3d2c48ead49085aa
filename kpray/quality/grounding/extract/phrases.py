"""Noun phrases: people, parts of a body, things, and places in the image."""

from __future__ import annotations

from typing import Final

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item, Sentence
from kpray.quality.grounding.extract.places import Places

_MANY: Final = frozenset({"several", "many", "few", "multiple", "numerous", "various", "couple"})
_ONES: Final = frozenset({"one", "other", "others", "two", "three", "four", "both", "all", "each", "rest"})
_PLURAL_WORDS: Final = frozenset({"people", "men", "women", "children", "feet", "persons"})
_PREMODIFIERS: Final = lex.words(
    """
    raise lower bend straight outstretched outspread cross fold clasp extend lift flex spread open upright
    wide stretch bare left right other both young old older younger tall small short little
    """
)
_PARTICLES: Final = lex.words("toward towards away left right out up down to at on straight")
_ALONE: Final = _ONES | frozenset({"neither", "none"}) | frozenset(lex.ORDINALS)
_AGES: Final = lex.words("young old tall short small big little elder")
_UNCHANGED: Final = frozenset({"spread", "put", "cut", "hit", "set", "outstretched"})
_SIDES: Final = ("left", "right")
_EVERYBODY: Final = frozenset({"everyone", "everybody", "anyone", "anybody", "someone", "somebody", "nobody"})


class Chunker(Places):
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
        if lower == "that" or (lower == "no" and self.lower[at + 1 : at + 2] == ["longer"]):
            return False
        if lower == "no" and at == 0 and at + 1 < self.size and self.lower[at + 1] == ",":
            return False
        if lower in lex.DETERMINERS or lower in lex.NUMBERS or (_is_number(lower) and len(lower) < 4):
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
        if lower == "back":
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

    def _leads_to_noun(self, at: int) -> bool:
        """As in "slightly bent knees", "left arm", "young men": up to three words in front of a known noun."""
        for here in range(at, min(at + 4, self.size)):
            lemma, lower = self.lemma[here], self.lower[here]
            if here > at and (lemma in lex.PARTS or lemma in lex.GENDER or lemma in lex.THINGS):
                return True
            if lower.endswith("ing") or lower in lex.DETERMINERS:
                return False
            known = lemma in _PREMODIFIERS or lemma in lex.COLOURS or lower.endswith("ly")
            compound = here + 1 < self.size and (lemma, self.lemma[here + 1]) in lex.COMPOUNDS
            if not (known or compound) or lower in ("raise", "raises", "bends", "lifts", "folds", "crosses", "bend"):
                return False
        return False

    def _noun_phrase(self, at: int) -> Item | None:
        here, det = self._determiners(at)
        if det and det[-1] in _ALONE and here < self.size and self._is_verb_after_all(here):
            return self._without_noun(at, here, det)
        end = self._noun_end(here)
        return self._make(at, here, end, det) if end > here else self._without_noun(at, here, det)

    def _noun_end(self, start: int) -> int:
        here = start
        while here < self.size and not self._ends_before(here, start):
            here += 1
            if self._is_closed(here, start):
                break
        return here

    def _is_verb_after_all(self, at: int) -> bool:
        """As in "they all stand", "both sit": the word is no noun of the determiner's."""
        return self.lemma[at] in lex.VERBS and not self._leads_to_noun(at)

    def _determiners(self, at: int) -> tuple[int, list[str]]:
        """Index after "both of his", "the other two", and these words."""
        here, det = at, list[str]()
        while here < self.size:
            lower = self.lower[here]
            if lower == "of" and det and here + 1 < self.size and self._of_set(det, here):
                here += 1
            elif (
                lower in lex.DETERMINERS
                or lower in lex.NUMBERS
                or _is_number(lower)
                or lower == "hundred"
                or lower == "none"
            ):
                det.append(lower)
                here += 1
            else:
                break
        return here, det

    def _of_set(self, det: list[str], at: int) -> bool:
        """As in "one of the", "both of his", "two of them", "neither of"."""
        after = self.lower[at + 1]
        return after in ("the", "his", "her", "their", "them", "these", "those") and det[-1] not in ("the", "a", "an")

    def _ends_before(self, here: int, start: int) -> bool:
        lower, lemma = self.lower[here], self.lemma[here]
        if not lower[0].isalnum():
            return True
        if lower in _SIDES or (lower == "one" and here > start and self.lemma[here - 1] in _AGES):
            return False
        if lemma in lex.PARTS or lemma in lex.GENDER:
            return False
        if lower in ("and", "or") and here > start and here + 1 < self.size:
            return not (self.lemma[here - 1] in lex.COLOURS and self.lemma[here + 1] in lex.COLOURS) and not (
                self.lower[here - 1] in _SIDES and self.lower[here + 1] in _SIDES
            )
        if lemma in lex.STOPS or lower in lex.DETERMINERS:
            return True
        if here == start:
            return False
        if lower in ("apart", "together", "upright", "straight", "akimbo", "aloft", "overhead", "wide", "visible"):
            return self._noun_before(here, start)
        if lower.endswith("ly"):
            return self._noun_before(here, start)
        return lemma in lex.VERBS and self._noun_before(here, start) and not self._is_noun_after_all(here, start)

    def _is_noun_after_all(self, here: int, start: int) -> bool:
        """As in "a low crouch": after a singular, a verb's bare form is none."""
        lower = self.lower[here]
        singular = start > 0 and self.lower[start - 1] in ("a", "an")
        return singular and lower == self.lemma[here] and lower not in _UNCHANGED

    def _noun_before(self, here: int, start: int) -> bool:
        """Whether the word before may be the noun of the phrase."""
        lemma, lower = self.lemma[here - 1], self.lower[here - 1]
        if lower in _SIDES and here - 1 == start:
            return True
        known = lemma in lex.GENDER or lemma in lex.PARTS or lemma in lex.THINGS
        return known or not (
            lemma in lex.COLOURS or lemma in _PREMODIFIERS or lower.endswith("ly") or lemma in lex.VERBS
        )

    def _is_closed(self, here: int, start: int) -> bool:
        """Whether the phrase ends at `here`, because its noun is known."""
        lemma, lower = self.lemma[here - 1], self.lower[here - 1]
        after = self.lemma[here] if here < self.size else ""
        after_lower = self.lower[here] if here < self.size else ""
        if lemma in lex.PARTS:
            return after_lower not in lex.PART_TAIL and after_lower != "-"
        if lemma in lex.GENDER:
            return after not in lex.GENDER or lower.endswith("s") or after_lower.endswith("ing")
        if (lemma in lex.IMAGE and not lower.endswith("ed")) or lemma in ("viewer", "camera"):
            return (lemma, after) not in lex.COMPOUNDS
        if lemma in lex.THINGS and not lower.endswith("ing"):
            return here < self.size and not self._may_be_noun(here)
        if lower in ("one", "ones", "other", "others"):
            return after not in lex.GENDER
        return False

    def _may_be_noun(self, at: int) -> bool:
        """Whether a word after a thing goes on with its name ("tennis court") or is a verb ("the ball flies")."""
        lower, lemma = self.lower[at], self.lemma[at]
        if lemma in lex.THINGS or lemma in lex.GENDER or lower in lex.PART_TAIL:
            return True
        other = lemma in lex.STOPS or lemma in lex.VERBS or lower in lex.ADVERBS or lower in lex.DETERMINERS
        return lower.isalpha() and not other and not lower.endswith(("s", "ing", "ed", "ly"))

    def _without_noun(self, at: int, here: int, det: list[str]) -> Item | None:
        """As in "one of them", "the other", "both", "the second", "none"."""
        if here < self.size and self.lower[here] in ("them", "us"):
            return self._person(at, here + 1, det, "person", (), plural=True)
        if det and (det[-1] in _ONES or det[-1] in lex.ORDINALS or det[-1] in ("none", "neither", "several", "some")):
            after_verb = at > 0 and self.lemma[at - 1] in ("be", "do", "have", "not")
            if det[0] in ("this", "that", "some", "no", "such") or (det == ["neither"] and after_verb):
                return None
            item = self._person(at, here, det, "", (), plural=det[-1] not in ("one", "other", "each", "neither"))
            if det[-1] == "one" and det[0] == "the":
                item.head = "person"
            else:
                item.kind, item.text = "bare", "BARE"
            return item
        return None

    def _make(self, at: int, start: int, end: int, det: list[str]) -> Item | None:
        head = self.lemma[end - 1]
        lower = self.lower[end - 1]
        words = tuple(self.lemma[start : end - 1])
        if (lower in _SIDES and end - start == 1) or (lower == "one" and words[-1:] in (("left",), ("right",))):
            item = Item("side", "SIDE", at, end, head=head, det=" ".join(det), side=self.lower[start])
            item.pronoun = next((word for word in det if word in lex.POSSESSIVES), "")
            return item
        if head in lex.GROUP and end < self.size and self.lower[end] == "of":
            grouped = self._group(at, end, det, head)
            if grouped:
                return grouped
        plural = lower in _PLURAL_WORDS or (lower.endswith("s") and lower != head and not lower.endswith("ss"))
        seer = head in ("viewer", "photographer", "observer") and "the" in det
        if seer or (head in lex.UNREAL and head not in lex.GENDER):
            return self._thing(at, start, end, det, plural)
        if head in _AGES and "the" in det:  # "the taller of the two"
            return self._person(at, end, det, "person", (*words, head), plural=False)
        if head == "one" and words[-1:] and words[-1] in _AGES:
            return self._person(at, end, det, "person", words, plural=plural)
        if head in lex.GENDER or (head in ("one", "other", "subject") and det and start == end - 1):
            if head == "subject" and words[-1:] != ("main",) and words:
                return self._thing(at, start, end, det, plural)
            return self._possessor(at, self._person(at, end, det, head, words, plural=plural))
        if head == "subject" and "main" in words:
            return self._person(at, end, det, "person", (), plural=plural)
        if head in lex.PARTS:
            return self._part(at, end, det, head, words, plural=plural)
        return self._thing(at, start, end, det, plural)

    def _group(self, at: int, end: int, det: list[str], head: str) -> Item | None:
        """As in "a group of four skiers"."""
        inner = self._noun_phrase(end + 1)
        if inner is None or inner.kind != "person" or inner.pronoun:
            return None
        inner.first = at
        if head == "number" and det[:1] != ["a"]:
            return None
        if inner.count is None:
            inner.count, inner.at_least = 2, head not in ("pair",)
        if head == "trio":
            inner.count, inner.at_least = 3, False
        inner.det = " ".join(det) or "a"
        inner.plural = True
        return inner

    def _person(self, at: int, end: int, det: list[str], head: str, words: tuple[str, ...], *, plural: bool) -> Item:
        head = "person" if head in ("people", "individual", "one", "other", "human", "figure", "subject") else head
        item = Item("person", "P", at, end, head=head, det=" ".join(det), words=words)
        count, item.at_least = _count(det)
        if head == "couple":
            item.head, count = "person", 2
        item.plural = plural or (count or 0) > 1
        item.count = count
        return item

    def _possessor(self, at: int, person: Item) -> Item | None:
        """The person, or what is theirs: "the man's left arm"."""
        here = person.last
        if here >= self.size or self.lower[here] not in ("'s", "'"):
            return person
        start = here + 1
        end = self._noun_end(start)
        if end == start or self.lower[start].endswith("ing"):
            return person
        if self.lower[end - 1] in _SIDES and end - start == 1:
            return Item("own_side", "OWNSIDE", at, end)
        made = self._make(at, start, end, [])
        if made is None:
            return person
        made.first = at
        made.owner = person
        made.det = "'s"
        return made

    def _part(self, at: int, end: int, det: list[str], head: str, words: tuple[str, ...], *, plural: bool) -> Item:
        item = Item("part", lex.PARTS[head], at, end, head=head, det=" ".join(det), words=words, plural=plural)
        if head == "body" and "upper" not in words and "whole" not in words:
            item.text = "TORSO"
        if head == "body" and "lower" in words:
            item.text = "OTHERPART"
        item.pronoun = next((word for word in det if word in lex.POSSESSIVES), "")
        item.side = _limb_side(det, words, plural=plural)
        return item

    def _thing(self, at: int, start: int, end: int, det: list[str], plural: bool) -> Item:
        pair = (self.lemma[end - 2], self.lemma[end - 1]) if end - start > 1 else ("", "")
        head = " ".join(pair) if pair in lex.COMPOUNDS else self.lemma[end - 1]
        words = tuple(self.lemma[start : end - 1])
        item = Item("thing", "T", at, end, head=head, det=" ".join(det), words=words, plural=plural)
        if self.lemma[end - 1] in ("position", "posture", "stance", "pose", "crouch", "squat", "manner", "profile"):
            item.text = "_".join(("POSE", *words, self.lemma[end - 1]))
        elif self.lemma[end - 1] in lex.IMAGE:
            item.text = "IMAGE"
        elif self.lemma[end - 1] in ("viewer", "camera", "photographer", "lens", "observer") and "the" in det:
            item.text = "CAMERA"
        elif self.lemma[end - 1] in ("side", "edge") and words[-1:] in (("left",), ("right",)):
            item.text = "T"
        item.count, item.at_least = _count(det)
        item.pronoun = next((word for word in det if word in lex.POSSESSIVES), "")
        return item

    def _is_silent(self, at: int, text: str) -> bool:
        """Whether an adverb tells nothing: "slightly", "right next to"."""
        lower = self.lower[at]
        if lower == "right":
            return at + 1 < self.size and self.lower[at + 1] in lex.PREPOSITIONS and self.lemma[at - 1] != "face"
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
    commonly normally frequently hardly barely rarely only approximately roughly supposedly ideally mostly
    """
)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit()


def _count(det: list[str]) -> tuple[int | None, bool]:
    """The number that determiners say, and whether it may be exceeded."""
    for word in det:
        if word in _MANY:
            return 2, True
        if word in lex.NUMBERS:
            return lex.NUMBERS[word], False
        if _is_number(word):
            return int(word), False
    return None, False


def _limb_side(det: list[str], words: tuple[str, ...], *, plural: bool) -> str:
    if "left" in words and "right" in words:
        return "both"
    side = next((word for word in words if word in _SIDES), "")
    if side:
        return side
    if "both" in det or "both" in words or "two" in det or "each" in det:
        return "both"
    if "neither" in det or "one" in det or not plural:
        return "one"
    return ""
