"""Where a noun phrase begins and ends."""

from __future__ import annotations

from typing import Final

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.places import Places

_PREMODIFIERS: Final = lex.words(
    """
    raise lower bend straight outstretched outspread cross fold clasp extend lift flex spread open upright
    wide stretch bare left right other both young old older younger tall small short little
    """
)
AGES: Final = lex.words("young old tall short small big little elder")
_UNCHANGED: Final = frozenset({"spread", "put", "cut", "hit", "set", "outstretched"})
SIDES: Final = ("left", "right")


class Edges(Places):
    """Finds the edges of a noun phrase."""

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

    def _noun_end(self, start: int) -> int:
        here = start
        while here < self.size and not self._ends_before(here, start):
            here += 1
            if self._is_closed(here, start):
                break
        return here

    def _is_verb_after_all(self, at: int) -> bool:
        """As in "they all stand", "both sit": the word is no noun of the determiner's."""
        ranked = self.lower[at - 1] in lex.ORDINALS and self.lemma[at] in ("place", "position", "spot", "seat")
        state = self.lemma[at] in lex.VERBS or self.lemma[at] in _PREMODIFIERS
        return state and not ranked and not self._leads_to_noun(at)

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
                or is_number(lower)
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
        if lower in SIDES or (lower == "one" and here > start and self.lemma[here - 1] in AGES):
            return False
        if lemma in lex.PARTS or lemma in lex.GENDER:
            return False
        if lower in ("and", "or") and here > start and here + 1 < self.size:
            return not (self.lemma[here - 1] in lex.COLOURS and self.lemma[here + 1] in lex.COLOURS) and not (
                self.lower[here - 1] in SIDES and self.lower[here + 1] in SIDES
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
        if lower in SIDES and here - 1 == start:
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


def is_number(word: str) -> bool:
    """Whether it is a number in digits."""
    return word.isascii() and word.isdigit()
