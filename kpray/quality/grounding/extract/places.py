"""Places: "on the far left of the image", "to the left of", "on his left"."""

from __future__ import annotations

from typing import Final

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item
from kpray.quality.grounding.text import Token

_SIDES: Final = ("left", "right")
_SIDE_WORDS: Final = lex.words(
    "left right left-hand right-hand leftmost rightmost left-most right-most lefthand righthand"
)
_FAR: Final = lex.words("far immediate very extreme lower upper bottom top front back outer exact dead")
_PARTS: Final = lex.words(
    """
    side edge part half corner third end portion border margin hand-side area region section quarter boundary
    """
)
_SEERS: Final = lex.words("viewer observer photographer camera onlooker spectator reader beholder")
_STATES: Final = lex.words(
    """
    raise lift bend cross fold clasp extend stretch spread flex lower outstretch tuck lock
    """
)


class Places:
    """Reads the places of one sentence."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.text = text
        self.tokens = tokens
        self.lower = [token.lower for token in tokens]
        self.lemma = [token.lemma for token in tokens]
        self.size = len(tokens)

    def _place(self, at: int) -> Item | None:
        if self.lower[at] == "from":
            return self._from_side(at)
        side = self._side_word(at)
        if side is None:
            return self._noun_of_image(at)
        end, name, own = side
        if own:
            return Item("own_side", "OWNSIDE", at, end)
        than = self._than(end) if name in _SIDES else 0
        if than:
            return Item("beside_of", f"{name.upper()}OF", at, than, head=name)
        of_image = self._of_image(end)
        if of_image:
            return Item("place", "PLACE", at, of_image, head=f"image_{name}" if name in _SIDES else name)
        if name in _SIDES and end < self.size and self.lower[end] in ("of", "than"):
            aside = "side" in self.lower[at:end]
            text = "ASIDE" if aside else f"{name.upper()}OF"
            return Item("beside_of", text, at, end + 1, head=name)
        return Item("place", "PLACE", at, end, head=f"image_{name}" if name in _SIDES else name)

    def _from_side(self, at: int) -> Item | None:
        """As in "from the far left side of the image"."""
        here = at + 1
        while here < self.size and self.lower[here] in ("the", *_FAR):
            here += 1
        here = self._after_owner(here)
        if here >= self.size or here == at + 1 or _side_name(self.lower[here]) not in _SIDES:
            return None
        head = f"image_{_side_name(self.lower[here])}"
        here = self._after_part(here + 1)
        return Item("from", "FROM", at, self._of_image(here) or here, head=head)

    def _noun_of_image(self, at: int) -> Item | None:
        """As in "the left half of the image" without a preposition."""
        side = _side_name(self.lower[at + 1]) if at + 2 < self.size else None
        if self.lower[at] != "the" or side not in _SIDES:
            return None
        here = self._after_part(at + 2)
        end = self._of_image(here) if here > at + 2 else 0
        return Item("place", "PLACE", at, end, head=f"image_{side}") if end else None

    def _after_owner(self, at: int) -> int:
        """Index after "the image's", "the viewer's": sides of these are the image's."""
        here = at + 1 if at < self.size and self.lower[at] == "the" else at
        owner = here + 1 < self.size and self.lower[here + 1] in ("'s", "'")
        return here + 2 if owner and (self.lemma[here] in lex.IMAGE or self.lemma[here] in _SEERS) else at

    def _after_part(self, at: int) -> int:
        """Index after "hand side", "edge", "third"."""
        here = at
        if here + 1 < self.size and self.lower[here] in ("hand", "-hand") and self.lower[here + 1] in _PARTS:
            here += 1
        return here + 1 if here < self.size and self.lower[here] in _PARTS else here

    def _than(self, at: int) -> int:
        """Index after "in the picture than", or 0."""
        end = self._in_image(at)
        return end + 1 if end and end < self.size and self.lower[end] == "than" else 0

    def _side_word(self, at: int) -> tuple[int, str, bool] | None:
        """As in "(further) to the far left side": index after it, the side, and whether it is a person's own."""
        lower, size = self.lower, self.size
        here, own, led = at, False, False
        while here < size and lower[here] in (
            "further",
            "farther",
            "farthest",
            "furthest",
            "closest",
            "nearest",
            "close",
            "immediately",
            "directly",
            "more",
            "just",
            "well",
            "slightly",
        ):
            here += 1
            led = True
        if here < size and lower[here] in ("to", "on", "at", "toward", "towards", "in", "near", "nearest", "by"):
            here += 1
            led = True
        if here + 1 < size and lower[here] == "the" and lower[here + 1] == "direction":
            here += 3
            led = True
        led = led or (here < size and lower[here] == "the" and here > 0 and self.lemma[here - 1] == "face")
        if not led:
            return self._bare_side(at)
        if here < size and lower[here] in ("his", "her", "their", "its", "your", "my"):
            own = True
            here += 1
        elif self._after_owner(here) > here:
            here = self._after_owner(here)
        elif here < size and lower[here] == "the":
            here += 1
        while here < size and lower[here] in _FAR:
            here += 1
        if here >= size:
            return None
        name = _side_name(lower[here])
        if name is None:
            return None
        here += 1
        part = self._after_part(here)
        if part > here:
            here = part
        elif here < size and self._starts_noun(here):
            return None
        if name in ("middle", "foreground", "background") and own:
            return None
        return here, name, own

    def _bare_side(self, at: int) -> tuple[int, str, bool] | None:
        """As in "left of the man", "farther left in the picture than"."""
        if self.lower[at] in _SIDES and at + 1 < self.size and at > 0:
            before = self.lower[at - 1]
            if self.lower[at + 1] == "of" and before not in ("the", "his", "her", "their", "has", "have", "a"):
                return at + 1, self.lower[at], False
        return None

    def _of_image(self, at: int) -> int:
        return self._in_image(at) if at < self.size and self.lower[at] in ("of", "in") else 0

    def _in_image(self, at: int) -> int:
        """Index after "of|in|within the image", or 0."""
        if at >= self.size or self.lower[at] not in ("of", "in", "within"):
            return 0
        here = at + 1
        if here < self.size and self.lower[here] in ("the", "this"):
            here += 1
        while here < self.size and self.lower[here] in ("overall", "whole", "entire"):
            here += 1
        return here + 1 if here < self.size and self.lemma[here] in lex.IMAGE else 0

    def _starts_noun(self, at: int) -> bool:
        lemma = self.lemma[at]
        if self.lower[at].endswith("ing"):  # "on the left facing the camera"
            return False
        return lemma in lex.PARTS or lemma in lex.GENDER or lemma in lex.THINGS or lemma in _STATES


def _side_name(lower: str) -> str | None:
    if lower.startswith(("left", "right")) and lower in _SIDE_WORDS:
        return "left" if lower.startswith("left") else "right"
    if lower in ("middle", "center", "centre", "midst"):
        return "middle"
    return lower if lower in ("foreground", "background") else None
