"""Claims about whole bodies: posture, lean, facing, and stances that say something about the legs."""

from __future__ import annotations

import re
from typing import Final

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item
from kpray.quality.grounding.extract.patterns import BODIES
from kpray.quality.grounding.extract.reading import Reading

_SIDEWAYS: Final = re.compile(
    r"(?<= )(face|turn|orient|rotate|direct|point|aim|swivel|lean|tilt|incline|bend|slant|slope|angle|profile"
    r"|(?:CHEST|FRONT)(?= ))"
    r"(?: (?:TORSO|CHEST|FRONT))?(?: of P)?"
    r"(?: (?:to|toward|towards|over|be|turn|direct|point|face))* (PLACE|left|right)(?= )"
)
_POSES: Final[dict[str, tuple[str, str]]] = {
    "stand": ("posture", "standing"),
    "standing": ("posture", "standing"),
    "sit": ("posture", "sitting"),
    "seat": ("posture", "sitting"),
    "crouch": ("posture", "crouching"),
    "crouching": ("posture", "crouching"),
    "squat": ("posture", "crouching"),
    "squatting": ("posture", "crouching"),
    "kneel": ("posture", "kneeling"),
    "kneeling": ("posture", "kneeling"),
    "lie": ("posture", "lying"),
    "recline": ("posture", "lying"),
    "lying": ("posture", "lying"),
    "sitting": ("posture", "sitting"),
    "seated": ("posture", "sitting"),
    "recumbent": ("posture", "lying"),
    "supine": ("posture", "lying"),
    "prone": ("posture", "lying"),
    "reclining": ("posture", "lying"),
    "upright": ("lean", "upright"),
    "erect": ("lean", "upright"),
    "vertical": ("lean", "upright"),
    "wide": ("legs", "apart"),
    "broad": ("legs", "apart"),
    "wide-legged": ("legs", "apart"),
    "straddle": ("legs", "apart"),
    "narrow": ("legs", "together"),
}
_NOT_BODIES: Final = lex.words(
    """
    HEAD FACE HAND ARM ELBOW KNEE LEG FOOT HIP OTHERPART BACK
    """
)


_TRUNK: Final = frozenset({"TORSO", "CHEST", "FRONT", "SHOULDER", "BACK"})


def find_bodies(reading: Reading) -> None:
    """Add the claims about whole bodies."""
    sentence = reading.sentence
    line = sentence.line
    for pattern in BODIES:
        for match in pattern.words.finditer(line):
            _about_body(reading, pattern.name, pattern.value, match.start(), match.end())
    _sideways(reading)
    _poses(reading)
    _trunks(reading)
    _posed_people(reading)
    _on_knees(reading)
    _fronts(reading)


def _about_body(reading: Reading, name: str, value: str, start: int, end: int) -> None:
    sentence = reading.sentence
    first, last = sentence.index(start), sentence.index(end - 1)
    if name == "posture" and _is_no_posture(reading, first, value):
        return
    before = _last_phrase(sentence.items, first)
    if name == "facing" and before is not None and sentence.items[before].text == "BACK":
        if sentence.items[first].text == "turn" and value == "away":
            return
        value = "away"  # "his back faces the camera"
    who = _bodies_at(reading, first, name)
    if who:
        reading.add(name, value, who, (first, last), at=_scope_item(reading, first, last))


def _scope_item(reading: Reading, first: int, last: int) -> int:
    return last if reading.scopes[last].unreal or reading.scopes[last].negated else first


def _is_no_posture(reading: Reading, index: int, value: str) -> bool:
    """As in "stands holding" of things; "sit-ups"; a noun ("the stand")."""
    item = reading.sentence.items[index]
    token = reading.sentence.tokens[item.first]
    if (
        token.lower in ("sitter", "stands")
        and index
        and reading.sentence.items[index - 1].text in ("the", "in", "from")
    ):
        return True
    return value == "standing" and token.lower == "stood"


def _bodies_at(reading: Reading, index: int, name: str) -> tuple[Item, ...]:
    """Who leans or stands: the person, or the owner of a torso; nobody where it is a head or an arm."""
    items = reading.sentence.items
    item = items[index]
    if item.kind == "part" and item.text in _TRUNK:
        return _owner(reading, index)
    before = _last_phrase(items, index)
    if before is not None and items[before].kind == "part":
        part = items[before].text
        if part in _TRUNK and (part != "BACK" or name == "facing"):
            return _owner(reading, before)
        if name in ("lean", "facing") and part in _NOT_BODIES and _adjoins(reading, before, index):
            return ()
        if name == "posture" and _adjoins(reading, before, index) and part not in ("OTHERPART", "BACK", "FLANK"):
            return ()
    after = items[index + 1] if index + 1 < len(items) and item.text != "on" else None
    if name in ("lean", "facing", "posture") and after is not None and after.kind == "part":
        return _owner(reading, index + 1) if after.text in _TRUNK else ()
    return reading.about(index)


def _last_phrase(items: list[Item], index: int) -> int | None:
    """The noun phrase that stands right before a predicate, adverbs and auxiliaries apart."""
    here = index - 1
    while (
        here >= 0
        and items[here].kind == "word"
        and items[here].text in ("be", "not", "have", "stay", "remain", "appear", "seem", "to", "keep", "hold")
    ):
        here -= 1
    while here >= 0 and items[here].kind == "place":
        here -= 1
    if here >= 2 and items[here].kind == "person" and items[here - 1].text == "of" and items[here - 2].kind == "part":
        here -= 2
    return here if here >= 0 and items[here].is_phrase else None


def _adjoins(reading: Reading, part: int, index: int) -> bool:
    return index - part <= 5


def _owner(reading: Reading, index: int) -> tuple[Item, ...]:
    item = reading.sentence.items[index]
    if item.owner is not None:
        return (item.owner,) if item.owner.kind == "person" and item.owner.mention else ()
    chosen = reading.subjects.near[index] or reading.subjects.finite[index]
    return tuple(one for one in chosen if one.kind == "person" and one.mention)


def _sideways(reading: Reading) -> None:
    """As in "facing left", "turned to the right side of the image", "leans to the left"."""
    sentence = reading.sentence
    for match in _SIDEWAYS.finditer(sentence.line):
        first, last = sentence.index(match.start()), sentence.index(match.end() - 1)
        place = sentence.items[last]
        value = place.head if place.kind == "place" else f"image_{match[2]}"
        if value not in ("image_left", "image_right"):
            continue
        name = "lean" if match[1] in ("lean", "tilt", "incline", "bend", "slant", "slope") else "facing"
        if match[1] == "angle" and "TORSO" in sentence.line[: match.end()]:
            continue  # turned or tilted
        who = _bodies_at(reading, first, name)
        if who:
            reading.add(name, value, who, (first, last), at=_scope_item(reading, first, last))


def _poses(reading: Reading) -> None:
    """As in "in a kneeling position", "an upright posture", "a wide stance", "his posture is a seated one"."""
    for index, item in enumerate(reading.sentence.items):
        if not item.text.startswith("POSE_"):
            continue
        words = item.text.split("_")[1:]
        if "slightly" in words or "slight" in words:
            continue
        who = _posers(reading, index, item)
        words += _told_of(reading, index)
        for word in dict.fromkeys(words):
            name, value = _POSES.get(word, ("", ""))
            if word == "upright" and words[-1] == "stance":
                name, value = "posture", "standing"
            if word in ("wide", "broad", "narrow") and "stance" not in words:
                continue
            if name and who:
                reading.add(name, value, who, (index, index), at=index, negated=item.det.startswith("no"))


_POSED: Final = ("stand", "sit", "seat", "kneel", "crouch", "squat", "lie", "recline")


def _posed_people(reading: Reading) -> None:
    """As in "a seated woman": an adjective of a person."""
    for index, item in enumerate(reading.sentence.items):
        word = next((word for word in item.words if word in _POSED), "")
        if item.kind == "person" and item.mention is not None and word:
            name, value = _POSES[word]
            reading.add(name, value, (item,), (index, index), at=index)


def _told_of(reading: Reading, index: int) -> list[str]:
    """As in "his posture is upright", "his posture is a standing one"."""
    items = reading.sentence.items
    here = index + (3 if index + 2 < len(items) and items[index + 1].text == "of" else 1)
    if here + 1 >= len(items) or items[here].text != "be":
        return []
    told = items[here + 1]
    return [*told.words, told.head] if told.kind == "thing" else [told.text] if told.kind == "word" else []


def _posers(reading: Reading, index: int, item: Item) -> tuple[Item, ...]:
    if item.owner is not None and item.owner.mention is not None:
        return (item.owner,)
    chosen = [one for one in reading.subjects.near[index] if one.kind == "person" and one.mention]
    chosen = chosen or [one for one in reading.subjects.finite[index] if one.kind == "person" and one.mention]
    if chosen:
        return tuple(chosen)
    people = [one for one in reading.sentence.items[:index] if one.kind == "person" and one.mention]
    return tuple(people[-1:])


_TRUNK_WORDS: Final = {
    "upright": "upright", "erect": "upright", "vertical": "upright", "tilt": "any", "slant": "any", "incline": "any",
}  # fmt: skip


def _trunks(reading: Reading) -> None:
    """As in "an upright torso", "with a tilted upper body"."""
    for index, item in enumerate(reading.sentence.items):
        value = next((_TRUNK_WORDS[word] for word in item.words if word in _TRUNK_WORDS), "")
        if item.kind == "part" and item.text == "TORSO" and value:
            who = _owner(reading, index)
            reading.add("lean", value, who, (index, index), at=index, negated=item.det.startswith("no"))


def _on_knees(reading: Reading) -> None:
    """As in "lying on his back": nothing to add; "on his back" alone is lying, "on his knees" alone is kneeling."""
    items = reading.sentence.items
    for index in range(1, len(items)):
        item = items[index]
        if items[index - 1].text != "on" or item.kind != "part" or index < 2:
            continue
        lone = items[index - 2].text in ("be", ",", "down", "flat") or items[index - 2].kind == "person"
        if item.head in ("back", "stomach", "belly") and lone and item.pronoun and items[index - 2].kind != "thing":
            who = reading.about(index - 1)
            reading.add("posture", "lying", who, (index - 1, index), at=index)


_SEEN: Final = frozenset({"see", "show", "capture", "catch", "view", "look", "photograph", "depict", "observe"})


def _fronts(reading: Reading) -> None:
    """As in "The camera sees the man from the front", "we look at him from behind"."""
    items = reading.sentence.items
    for index, item in enumerate(items):
        if item.kind != "person" or item.mention is None or index < 2:
            continue
        verb = index - 2 if items[index - 1].text == "at" else index - 1
        by_camera = items[verb - 1].text in ("CAMERA", "we", "IMAGE", "you", "can", "T")
        tail = [one.head or one.text for one in items[index + 1 : index + 3]]
        if verb < 1 or items[verb].text not in _SEEN or not by_camera or tail[:1] != ["from"]:
            continue
        value = {"behind": "away", "front": "camera"}.get(tail[-1])
        if value:
            reading.add("facing", value, (item,), (verb, index + 2), at=index)
