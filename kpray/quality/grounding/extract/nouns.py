"""What a noun phrase means: people, a part of a body or a thing."""

from __future__ import annotations

from typing import Final

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.edges import AGES, SIDES, Edges, is_number
from kpray.quality.grounding.extract.items import Item

_MANY: Final = frozenset({"several", "many", "few", "multiple", "numerous", "various", "couple"})
_ONES: Final = frozenset({"one", "other", "others", "two", "three", "four", "both", "all", "each", "rest"})
_PLURAL_WORDS: Final = frozenset({"people", "men", "women", "children", "feet", "persons"})
_ALONE: Final = _ONES | frozenset({"neither", "none"}) | frozenset(lex.ORDINALS)
_ONE_DOES: Final = lex.words("see notice can could might may would observe find")


class Nouns(Edges):
    """Reads a noun phrase."""

    def _noun_phrase(self, at: int) -> Item | None:
        here, det = self._determiners(at)
        if (
            det[-1:] == ["those"]
            and here < self.size
            and self.lower[here] in ("present", "pictured", "shown", "visible")
        ):
            return self._person(at, here + 1, det, "person", (), plural=True)
        if det and det[-1] in _ALONE and here < self.size and self._is_verb_after_all(here):
            return self._without_noun(at, here, det)
        end = self._noun_end(here)
        return self._make(at, here, end, det) if end > here else self._without_noun(at, here, det)

    def _without_noun(self, at: int, here: int, det: list[str]) -> Item | None:
        """As in "one of them", "the other", "both", "the second", "none"."""
        if here < self.size and self.lower[here] in ("them", "us"):
            return self._person(at, here + 1, det, "person", (), plural=True)
        if det and (
            det[-1] in _ONES
            or det[-1] in lex.NUMBERS
            or is_number(det[-1])
            or det[0] in ("none", "neither")
            or det[-1] in lex.ORDINALS
            or det[-1] in ("none", "neither", "several", "some")
        ):
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
        if (lower in SIDES and end - start == 1) or (lower == "one" and words[-1:] in (("left",), ("right",))):
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
        if (
            head in lex.DUOS
            and det[:1] in (["the"], ["this"], ["both"], ["neither"], ["none"], ["each"])
            and not words
            and self.lower[end : end + 1] != ["of"]
        ):
            duo = self._person(at, end, det, "person", (), plural=True)
            duo.count = duo.count or lex.DUOS[head]
            return duo
        if head in AGES and "the" in det:  # "the taller of the two"
            return self._person(at, end, det, "person", (*words, head), plural=False)
        if head == "one" and words[-1:] and words[-1] in AGES:
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
        if inner is not None and inner.kind == "bare" and inner.count and head not in ("set", "number", "line"):
            inner.kind, inner.text, inner.head = "person", "P", "person"
        if inner is None or inner.kind != "person" or inner.pronoun:
            return None
        inner.first = at
        if head == "number" and det[:1] != ["a"]:
            return None
        if inner.count is None:
            inner.count, inner.at_least = 2, head not in ("pair",)
        if inner.count == 2 and head in lex.DUOS and (head != "couple" or det[:1] == ["the"]):
            inner.count, inner.at_least = lex.DUOS[head], False
        inner.det = " ".join(det) or "a"
        inner.plural = True
        return inner

    def _person(self, at: int, end: int, det: list[str], head: str, words: tuple[str, ...], *, plural: bool) -> Item:
        head = (
            "person"
            if head in ("people", "individual", "one", "other", "human", "figure", "subject", "soul", "member")
            else head
        )
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
        if self.lower[end - 1] in SIDES and end - start == 1:
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
        elif self.lemma[end - 1] in lex.IMAGE and item.words not in (
            ("rear",),
            ("back",),
            ("front",),
            ("frontal",),
            ("side",),
        ):
            item.text = "IMAGE"
        elif self.lemma[end - 1] in ("viewer", "camera", "photographer", "lens", "observer") and "the" in det:
            item.text = "CAMERA"
        elif self.lemma[end - 1] in ("side", "edge") and words[-1:] in (("left",), ("right",)):
            item.text = "T"
        item.count, item.at_least = _count(det)
        item.pronoun = next((word for word in det if word in lex.POSSESSIVES), "")
        return item


def _count(det: list[str]) -> tuple[int | None, bool]:
    """The number that determiners say, and whether it may be exceeded."""
    for word in det:
        if word in _MANY:
            return 2, True
        if word in lex.NUMBERS:
            return lex.NUMBERS[word], False
        if is_number(word):
            return int(word), False
    return None, False


def _limb_side(det: list[str], words: tuple[str, ...], *, plural: bool) -> str:
    if "left" in words and "right" in words:
        return "both"
    side = next((word for word in words if word in SIDES), "")
    if side:
        return side
    if "both" in det or "both" in words or "two" in det or "each" in det:
        return "both"
    if "neither" in det or "one" in det or not plural:
        return "one"
    return ""
