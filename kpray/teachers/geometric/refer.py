"""Calling people by what is known of them: "the man", "the person on the left", "both people"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kpray.teachers.geometric.captions import lone_noun, lone_role
from kpray.teachers.geometric.english import everyday_name, number_word, ordinal
from kpray.teachers.geometric.facts import SceneFacts
from kpray.teachers.geometric.wording import Writer

Slots = dict[str, str]

_POSSESSIVES: Final = {"he": "his", "she": "her", "they": "their"}
_OBJECTIVES: Final = {"he": "him", "she": "her", "they": "them"}
_SINGULAR_VERBS: Final = {"s": "s", "es": "es", "is": "is", "has": "has", "does": "does"}
_PLURAL_VERBS: Final = {"s": "", "es": "", "is": "are", "has": "have", "does": "do"}


@dataclass(frozen=True)
class Referent:
    """A person, or several, and the words for them.

    Attributes:
        name: Noun phrase with its article.
        pronoun: "he", "she" or "they".
        plural: Whether it is several people.
        person: Index into ``Scene.people``; None for several.
        role: Another name, such as "the surfer"; empty if there is none.
    """

    name: str
    pronoun: str
    plural: bool = False
    person: int | None = None
    role: str = ""

    @property
    def short(self) -> bool:
        """Whether the name can bear a possessive: "the man's", but not "the person on the left's"."""
        return " " not in self.name.removeprefix("the ") and not self.plural

    def slots(self, *, named: bool) -> Slots:
        """The words that forms about this person take.

        Args:
            named: Whether the subject is the name; else it is the pronoun.
        """
        their = _POSSESSIVES[self.pronoun]
        plural_verb = self.plural or (not named and self.pronoun == "they")
        return {
            "who": self.name if named else self.pronoun,
            "whose": f"{self.name}'s" if named and self.short else their,
            "their": their,
            "them": _OBJECTIVES[self.pronoun],
            "they": self.pronoun,
            "they_are": f"{self.pronoun} {'are' if self.pronoun == 'they' else 'is'}",
            "name": self.name,
            **(_PLURAL_VERBS if plural_verb else _SINGULAR_VERBS),
        }


def refer_to_people(facts: SceneFacts, writer: Writer) -> dict[int, Referent]:
    """Those people who can be told apart, from image-left to image-right.

    A lone person is called by the noun the captions agree on. Several are called by their place where the
    codes decide it, else by what only one of them does, or as the largest by far. Others are left out.
    """
    if facts.count == 1 and len(facts.people) == 1:
        return {0: _lone(facts)}
    named: dict[int, Referent] = {}
    for place, person in enumerate(facts.left_to_right):
        if person is not None and min(place, len(facts.people) - 1 - place) < 5:
            named[person] = Referent(_placed(place, len(facts.people)), "they", person=person)
    if (most := facts.most_prominent) is not None:
        named.setdefault(most, Referent("the most prominent person", "they", person=most))
    for person, name in _by_difference(facts).items():
        if person not in named or writer.chance(0.25):
            named[person] = Referent(name, "they", person=person)
    return named


def _lone(facts: SceneFacts) -> Referent:
    noun, pronoun = lone_noun(facts.scene.captions)
    role = lone_role(facts.scene.captions)
    if noun == "person" and role:
        return Referent(f"the {role}", pronoun, person=0)
    return Referent(f"the {noun}", pronoun, person=0, role=f"the {role}" if role else "")


def _placed(place: int, count: int) -> str:
    """Name by place from image-left, starting with 0."""
    if count <= 3:
        middle = ["in the middle"] if count == 3 else []
        return f"the person {['on the left', *middle, 'on the right'][place]}"
    if place in (0, count - 1):
        return f"the person on the far {'left' if place == 0 else 'right'}"
    if place < count / 2:
        return f"the {ordinal(place + 1)} person from the left"
    return f"the {ordinal(count - place)} person from the right"


_POSTURE_NAMES: Final = {
    "standing": "the standing person",
    "sitting": "the seated person",
    "crouching": "the crouching person",
    "kneeling": "the kneeling person",
    "lying": "the person lying down",
}


def _by_difference(facts: SceneFacts) -> dict[int, str]:
    """Names by posture or by what is held, where exactly one person fits and the others plainly do not."""
    names = {}
    postures = [p.whole.get("posture", "") for p in facts.people]
    if facts.count == len(postures) and all(postures):
        names = {i: _POSTURE_NAMES[p] for i, p in enumerate(postures) if postures.count(p) == 1}
    for i, person in enumerate(facts.people):
        held = [facts.category(o) for hand in ("left", "right", "both") for o in _in_hand(person.objects, hand)]
        single = [c for c in held if facts.category_counts[c] == 1]
        if single:
            names.setdefault(i, f"the person with the {everyday_name(single[0])}")
    return names


def _in_hand(objects: dict[str, list[int]], hand: str) -> list[int]:
    return objects.get(f"in_{hand}_hand" if hand != "both" else "in_both_hands", [])


def everybody(count: int) -> Referent:
    """All people together: "both people", "all three people"."""
    return Referent("both people" if count == 2 else f"all {number_word(count)} people", "they", plural=True)
