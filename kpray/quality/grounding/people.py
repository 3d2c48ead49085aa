"""Which people of a scene a mention could mean. Whoever could be meant is a candidate."""

from __future__ import annotations

from typing import Final, NamedTuple

from kpray.quality.grounding.cast import Cast, order_margin
from kpray.quality.grounding.claims import Mention
from kpray.schemas import Box

ANYBODY: Final = frozenset(
    {
        "",
        "one",
        "person",
        "people",
        "individual",
        "everyone",
        "everybody",
        "someone",
        "somebody",
        "anyone",
        "nobody",
        "figure",
    }
)
"""Nouns that fit every person, so that "the third person from the left" is counted among all."""

LONE_NOUNS: Final = frozenset({"person", "individual", "subject", "figure"})
"""Nouns for one person that a text would not use if the scene had a second one to tell from."""

ONLOOKERS: Final = frozenset(
    {"spectator", "audience", "crowd", "onlooker", "bystander", "passerby", "passer-by", "pedestrian", "viewer"}
    | {"fan", "referee", "umpire"}
)
"""People in the background, whom annotators overlook most."""

CHILDREN: Final = frozenset({"child", "kid", "baby", "infant", "toddler", "boy", "girl", "son", "daughter"})

THE_IMAGE: Final = frozenset({"image", "picture", "photo", "photograph", "scene", "frame", "shot", "view"})
"""What everybody is in, so "the people in the image" are all."""

UNIVERSAL: Final = frozenset({"all", "each", "every", "everyone", "everybody", "none", "nobody"})
"""Words with which a text speaks of everybody on purpose; "the players are running" leaves room for one who is not."""

FOREGROUND_SHARE: Final = 0.4
"""Someone in the foreground has a box at least so tall, as a share of the tallest."""

COUNTED_SHARE: Final = 0.4
"""Whoever counts from the left may overlook a person whose box is less tall than this share of the next one's."""


MAIN_SHARE: Final = 0.5
"""Where no caption tells of a second person, "the man" is nobody who is less tall than this share of the tallest."""


class Group(NamedTuple):
    """Whom a mention could mean.

    Attributes:
        people: Indices into ``Scene.people``.
        closed: Whether somebody who is not annotated is out of the question, so that a claim can be contradicted.
        certain: Whether all of them are surely meant.
    """

    people: tuple[int, ...]
    closed: bool
    certain: bool


def who_could_be(mention: Mention, cast: Cast, *, first: bool = False) -> Group:
    """Everybody whom a mention could mean.

    Args:
        mention: The words.
        cast: The scene.
        first: Whether the conversation spoke of nobody before.

    Returns:
        The candidates. Nouns and adjectives exclude nobody, because captions do not say which person is the woman;
        and where the extractor does not know whom a pronoun means, nothing that it carries excludes anybody.
    """
    people, fits = cast.everybody, True
    if not mention.certain:
        return Group(people, bool(people) and not _may_be_unannotated(mention, cast), certain=False)
    main = _main_person(mention, cast) if first else None
    if main is not None:
        return Group((main,), closed=True, certain=True)
    if mention.ordinal is not None and mention.ordinal_from:
        people, fits = _by_ordinal(mention, cast)
    elif mention.place in ("image_left", "image_right"):
        people, fits = _on_side(mention, cast)
    elif mention.place == "middle":
        people = _in_middle(cast)
    elif mention.place == "foreground":
        people = _in_foreground(cast)
    people = _with_objects(mention, people, cast)
    closed = fits and bool(people) and not _may_be_unannotated(mention, cast)
    return Group(people, closed, closed and _all_surely_meant(mention, people, cast))


def _main_person(mention: Mention, cast: Cast) -> int | None:
    """The one at the centre of attention, of whom a text speaks first though there are people in the background.

    Only where one is twice as tall as everybody else, and no caption tells of anybody else. "The person" is left out:
    with that word come places ("the person at the back") of which not all are understood.
    """
    if mention.quantity != "one" or is_narrowed(mention) or mention.head in ANYBODY | ONLOOKERS | CHILDREN:
        return None
    if not cast.people or not cast.scene.captions or cast.captions.most > 1:
        return None
    heights = [_height(box) for box in cast.boxes]
    tallest = max(heights)
    return heights.index(tallest) if sum(1 for h in heights if h > MAIN_SHARE * tallest) == 1 else None


def is_narrowed(mention: Mention) -> bool:
    """Whether the words single out some of the people."""
    things = [noun for noun in mention.objects if noun not in THE_IMAGE]
    return bool(mention.words or mention.place or mention.ordinal or mention.other or things)


def _all_surely_meant(mention: Mention, people: tuple[int, ...], cast: Cast) -> bool:
    """Whether the text speaks of exactly these: it counts them, there are but two, or it says "all" of people."""
    if is_narrowed(mention) or len(people) < cast.people:
        return False
    if mention.quantity == "one" or (mention.quantity == "some" and mention.count is None):
        return cast.people == 1
    if mention.count is not None:
        return mention.count == cast.people
    if cast.people == 2 and (mention.quantity == "all" or mention.text.lower().startswith(("neither", "none of"))):
        return True  # a plural, so at least two
    if mention.quantity == "none":
        return mention.head in ANYBODY
    return bool(UNIVERSAL.intersection(mention.text.lower().split())) and mention.head in ANYBODY


def _may_be_unannotated(mention: Mention, cast: Cast) -> bool:
    """Whether the one who is meant may be somebody whom the annotators left out."""
    if not cast.complete or mention.place == "background" or mention.head in ONLOOKERS:
        return True
    if mention.count is not None and mention.count > cast.people:
        return True
    if cast.captions.most <= cast.people:
        return False
    lone = mention.quantity == "one" and mention.head in LONE_NOUNS and cast.people == 1
    return mention.other or not lone


def _on_side(mention: Mention, cast: Cast) -> tuple[tuple[int, ...], bool]:
    """People who may be called the one on the left (right), and whether the picture has one there.

    Of several people, "the man on the left" or "the one in red on the left" may be anyone in that half.
    """
    left = mention.place == "image_left"
    x = cast.centres if left else [1 - centre for centre in cast.centres]
    if cast.people < 2:
        return cast.everybody, bool(x) and x[0] < 0.6
    outermost = (person for person in cast.everybody if _clearly_before(person, left, cast, overlook=False) == 0)
    of_a_kind = cast.people > 2 and not _is_anybody(mention)
    in_half = (p for p in cast.everybody if x[p] < 0.5 and (of_a_kind or not _clearly_before(p, left, cast)))
    return tuple(sorted({*outermost, *in_half})), True


def _is_anybody(mention: Mention) -> bool:
    """Whether noun and adjectives fit every person."""
    return mention.head in ANYBODY and not mention.words


def _in_middle(cast: Cast) -> tuple[int, ...]:
    """All but the two at the ends, unless they stand in the middle of the picture; of one or two, all."""
    if cast.people < 3:
        return cast.everybody
    most = cast.people - 1
    ends = {p for p in cast.everybody for left in (True, False) if _clearly_before(p, left, cast) == most}
    inside = (p for p, x in enumerate(cast.centres) if p not in ends or abs(x - 0.5) < 0.08)
    return tuple(inside) or cast.everybody


def _in_foreground(cast: Cast) -> tuple[int, ...]:
    heights = [_height(box) for box in cast.boxes]
    return tuple(p for p, height in enumerate(heights) if height >= FOREGROUND_SHARE * max(heights))


def _by_ordinal(mention: Mention, cast: Cast) -> tuple[tuple[int, ...], bool]:
    """The k-th from one side: all who may have that rank, given who stands clearly before whom.

    Counted among "men" or "people in red", the k-th may be any from the k-th on.
    """
    rank = mention.ordinal or 1
    left = mention.ordinal_from == "image_left"
    among_all = _is_anybody(mention)
    chosen = []
    for person in cast.everybody:
        before, behind = _clearly_before(person, left, cast), _clearly_before(person, not left, cast)
        last_rank = cast.people - behind
        if last_rank >= rank and (before < rank or not among_all):
            chosen.append(person)
    return tuple(chosen), rank <= cast.people


def _clearly_before(person: int, left: bool, cast: Cast, *, overlook: bool = True) -> int:
    """How many are clearly nearer to that side of the image, without those who are so small as to be overlooked."""
    box = cast.boxes[person]
    least = COUNTED_SHARE * _height(box) if overlook else 0.0
    margins = [
        order_margin(other, box) for i, other in enumerate(cast.boxes) if i != person and _height(other) >= least
    ]
    return sum(1 for margin in margins if (margin if left else -margin) >= 1)


def _height(box: Box) -> float:
    return box[3] - box[1]


def _with_objects(mention: Mention, people: tuple[int, ...], cast: Cast) -> tuple[int, ...]:
    """Those who have the thing, by their codes; all where a thing's owner is not known."""
    for noun in mention.objects:
        things = cast.things(noun)
        owners = {
            code.object: person
            for person in cast.everybody
            for code in cast.codes(person, "object")
            if code.object in things and code.value != "beside"
        }
        if things and len(owners) == len(things):
            people = tuple(p for p in people if p in owners.values()) or people
    return people
