"""A scene as the text that a teacher reads in place of the picture.

The form is that of the paper's Fig. 1: the captions, one per line, then one line per person with box and
keypoints, then one line per object with its box::

    A woman holds out a frisbee.
    person: [0.197, 0.145, 0.509, 0.904], keypoints: [0.306, 0.215, 2, 0.317, 0.199, 2, ...]
    frisbee: [0.453, 0.323, 0.531, 0.379]
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import msgspec

from kpray.schemas import Box, Person, Scene, SceneObject


class Context(msgspec.Struct, frozen=True):
    """The canonical text of a scene.

    Attributes:
        text: Captions, people and objects, one per line.
        dropped: What the limit left out: ``objects=N`` and ``people=N`` where N > 0.
    """

    text: str
    dropped: tuple[str, ...]


@functools.lru_cache(maxsize=8)  # the kinds of one scene are rendered one after the other
def render_context(scene: Scene, *, max_chars: int) -> Context:
    """Render a scene, leaving out what does not fit.

    People come in annotation order, objects after them, largest box first. When the text is longer than the
    limit, the smallest objects go first, then the people who are farthest from the camera; a smaller box
    counts as farther, for want of depth. Captions and the person with the largest box always stay, even
    where they alone exceed the limit.

    Args:
        scene: Boxes and keypoints as fractions of the image.
        max_chars: Limit of the text's length in characters.
    """
    captions = [" ".join(caption.split()) for caption in scene.captions]
    objects = sorted(scene.objects, key=lambda o: (-_area(o.box_xyxy_norm), o.annotation_id))
    person_lines = [_person_line(person) for person in scene.people]
    object_lines = [_object_line(thing) for thing in objects]

    excess = sum(len(line) + 1 for line in (*captions, *person_lines, *object_lines)) - 1 - max_chars
    gone_objects = _shed(excess, object_lines, reversed(range(len(object_lines))))
    excess -= sum(len(object_lines[i]) + 1 for i in gone_objects)
    gone_people = _shed(excess, person_lines, _farthest_first(scene.people)[:-1])

    kept_people = (line for i, line in enumerate(person_lines) if i not in gone_people)
    kept_objects = object_lines[: len(object_lines) - len(gone_objects)]
    counts = (("objects", len(gone_objects)), ("people", len(gone_people)))
    return Context(
        text="\n".join((*captions, *kept_people, *kept_objects)),
        dropped=tuple(f"{name}={count}" for name, count in counts if count),
    )


def _shed(excess: int, lines: Sequence[str], order: Iterable[int]) -> frozenset[int]:
    """Indices of the lines to leave out, taken in the given order until nothing exceeds."""
    gone = set()
    for i in order:
        if excess <= 0:
            break
        gone.add(i)
        excess -= len(lines[i]) + 1
    return frozenset(gone)


def _farthest_first(people: Sequence[Person]) -> list[int]:
    return sorted(range(len(people)), key=lambda i: (_area(people[i].box_xyxy_norm), -i))


def _person_line(person: Person) -> str:
    line = f"person: {_box(person.box_xyxy_norm)}"
    if not any(v for _, _, v in person.keypoints_xyv_norm):
        return line
    triples = ", ".join(f"{_number(x)}, {_number(y)}, {v}" for x, y, v in person.keypoints_xyv_norm)
    return f"{line}, keypoints: [{triples}]"


def _object_line(thing: SceneObject) -> str:
    return f"{thing.category}: {_box(thing.box_xyxy_norm)}"


def _box(box: Box) -> str:
    return f"[{', '.join(map(_number, box))}]"


def _number(value: float) -> str:
    return str(round(float(value), 3) + 0.0)  # adding 0.0 turns -0.0 into 0.0


def _area(box: Box) -> float:
    x1, y1, x2, y2 = box
    return (x2 - x1) * (y2 - y1)
