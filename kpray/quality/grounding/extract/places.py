"""Places: "on the far left of the image", "to the left of", "on his left"."""

from __future__ import annotations

from typing import Final

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item
from kpray.quality.grounding.text import Token

_SIDES: Final = ("left", "right")
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
        side = self._side_word(at)
        if side is None:
            return None
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
        ):
            here += 1
            led = True
        if here < size and lower[here] in ("to", "on", "at", "toward", "towards", "in", "from", "facing"):
            if lower[here] in ("from", "facing"):
                return None
            here += 1
            led = True
        led = led or (here < size and lower[here] == "the" and here > 0 and self.lemma[here - 1] == "face")
        if not led:
            return self._bare_side(at)
        if here < size and lower[here] in ("his", "her", "their", "its", "your", "my"):
            own = True
            here += 1
        elif here < size and lower[here] == "the":
            here += 1
        while here < size and lower[here] in ("far", "immediate", "very", "extreme", "lower", "upper", "bottom", "top"):
            here += 1
        if here >= size:
            return None
        name = _side_name(lower[here])
        if name is None:
            return None
        here += 1
        if here < size and lower[here] in ("hand", "-hand") and here + 1 < size and lower[here + 1] == "side":
            here += 1
        if here < size and lower[here] in ("side", "edge", "part", "half", "corner", "third", "end", "portion"):
            here += 1
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
        return lemma in lex.PARTS or lemma in lex.GENDER or lemma in lex.THINGS or lemma in _STATES


def _side_name(lower: str) -> str | None:
    if lower in ("left", "right", "left-hand", "right-hand", "leftmost", "rightmost"):
        return "left" if lower.startswith("left") else "right"
    if lower in ("middle", "center", "centre"):
        return "middle"
    return lower if lower in ("foreground", "background") else None
