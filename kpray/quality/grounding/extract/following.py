"""What follows a person's noun and says who is meant: "on the left", "who is second from the right", "in red"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item, Sentence

Place = Literal["", "image_left", "image_right", "middle", "foreground", "background"]

_BEING: Final = ("be", "stand", "sit")
_HAVING: Final = ("wear", "hold", "carry", "have", "grip", "grasp", "clutch", "use")
_SEEN: Final = ("see", "show", "picture", "visible", "locate", "position", "situate", "place", "find", "capture")
PLACES: Final[dict[str, Place]] = {
    "image_left": "image_left",
    "left": "image_left",
    "left-hand": "image_left",
    "right-hand": "image_right",
    "leftmost": "image_left",
    "image_right": "image_right",
    "right": "image_right",
    "rightmost": "image_right",
    "middle": "middle",
    "center": "middle",
    "centre": "middle",
    "central": "middle",
    "centermost": "middle",
    "centremost": "middle",
    "middlemost": "middle",
    "left-most": "image_left",
    "right-most": "image_right",
    "foreground": "foreground",
    "background": "background",
}


@dataclass(slots=True)
class Following:
    """What identifies a person after the noun, and the last item of it."""

    end: int
    place: Place = ""
    ordinal: int | None = None
    ordinal_from: Literal["", "image_left", "image_right"] = ""
    words: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)


def what_follows(sentence: Sentence, index: int) -> Following:
    """Read "on the left", "second from the right", "in a red shirt", "who holds the bat"."""
    items = sentence.items
    found = Following(index)
    here = index + 1
    while here < len(items):
        item = items[here]
        after = items[here + 1] if here + 1 < len(items) else None
        if item.kind == "place":
            found.place = found.place or PLACES.get(item.head, "")
            found.end, here = here, here + 1
        elif after is None:
            break
        elif _tells_order(item) and (item.kind == "bare" or found.ordinal is None):
            found.ordinal = next(lex.ORDINALS[word] for word in item.det.split() if word in lex.ORDINALS)
            here += 1
        elif item.text == "from" and after.side in ("left", "right"):
            found.ordinal_from = "image_left" if after.side == "left" else "image_right"
            found.end, here = here + 1, here + 2
        elif after.text == "T" and (_names(sentence, index, here) or _goes_on(found, index, item, after)):
            _note(after, found)
            found.end, here = here + 1, here + 2
        elif _is_passed_over(item, after, first=here == index + 1):
            here += 2 if item.text in ("who", "that") and after.text in _BEING else 1
        else:
            break
    return found


def _tells_order(item: Item) -> bool:
    """As in "second from the left", "in the second position from the left"."""
    position = item.kind == "thing" and item.text.startswith("POSE")
    return (item.kind == "bare" or position) and any(word in lex.ORDINALS for word in item.det.split())


def _goes_on(found: Following, index: int, item: Item, after: Item) -> bool:
    """As in "in a red shirt and a hat"."""
    return item.text == "and" and found.end > index and after.head in lex.WORN


def _is_passed_over(item: Item, after: Item, *, first: bool) -> bool:
    """Words between the noun and what identifies: "who is", "seen" in front of a place, "starting" of "from"."""
    if item.text in ("who", "that"):
        return first and (after.text in (*_BEING, *_HAVING) or _tells_order(after))
    if item.text in ("start", "count", "position", "spot"):
        return after.text == "from"
    if item.text == "in":
        return _tells_order(after)
    if item.text == "here":
        return not first
    found = after.kind == "place" or after.text in (*_SEEN, "here") or _tells_order(after)
    return item.text in (*_BEING, *_SEEN, "kneel", "crouch", "squat", "appear") and found


def _names(sentence: Sentence, index: int, here: int) -> bool:
    """Whether the item at `here` and the thing after it say who is meant, rather than what that person does."""
    item, after = sentence.items[here], sentence.items[here + 1]
    if item.text in ("in", "with"):
        return True
    if item.text == "on":
        return after.head in lex.MOUNTS and here == index + 1 and sentence.items[index].det.startswith("the")
    if item.text not in _HAVING:
        return False
    relative = sentence.items[here - 1].text in ("who", "that")
    participle = sentence.tokens[item.first].lower.endswith("ing")
    return relative or (participle and here == index + 1)


def _note(thing: Item, found: Following) -> None:
    found.words.extend((*thing.words, thing.head) if thing.head in lex.WORN else thing.words)
    if thing.head not in lex.COLOURS:
        found.objects.append(thing.head)
