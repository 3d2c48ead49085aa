"""Five sentences per scene, as five people might write them; they say only what is drawn.

Phrases with ``{obj}`` are used when the object can be seen; the others may be used always.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kpray.coco.synthetic.layout import Actor

SUPPORTS = ("chair", "bench", "couch", "bed")

PHRASES: dict[str, tuple[str, ...]] = {
    "standing": (
        "standing",
        "standing still",
        "standing with {his} arms at {his} sides",
        "standing up straight",
    ),
    "arms_raised": (
        "raising both arms in the air",
        "standing with both arms up",
        "holding both hands high above {his} head",
        "cheering with {his} arms raised",
    ),
    "arms_out": (
        "standing with {his} arms stretched out to the sides",
        "holding both arms straight out",
        "spreading {his} arms wide",
    ),
    "pointing": (
        "pointing at something off to the side",
        "pointing with one arm stretched out",
        "standing and pointing to one side",
    ),
    "hands_on_hips": (
        "standing with {his} hands on {his} hips",
        "posing with both hands on {his} hips",
        "with {his} hands on {his} hips",
    ),
    "arms_crossed": (
        "standing with {his} arms crossed",
        "folding {his} arms across {his} chest",
        "with {his} arms folded",
    ),
    "waving": ("waving", "waving hello with one hand", "lifting one hand to wave"),
    "walking": ("walking", "taking a walk", "striding along", "walking along"),
    "running": ("running", "running fast", "jogging", "out for a run"),
    "lunging": (
        "doing a lunge",
        "lunging forward on one bent leg",
        "stretching in a deep lunge",
    ),
    "bending_forward": (
        "bending over",
        "bending down to touch {his} toes",
        "leaning all the way forward with {his} arms hanging down",
    ),
    "crouching": (
        "crouching down",
        "crouching low to the ground",
        "squatting down with {his} hands on {his} knees",
    ),
    "squatting": (
        "doing a squat with {his} arms held out in front",
        "squatting with both arms straight ahead",
        "exercising with a squat",
    ),
    "kneeling": ("kneeling", "kneeling on both knees", "on {his} knees"),
    "kneeling_on_one_knee": ("kneeling on one knee", "down on one knee", "resting on one knee"),
    "sitting": (
        "sitting on {obj}",
        "seated on {obj} with {his} hands on {his} lap",
        "relaxing on {obj}",
        "sitting down",
    ),
    "reading": (
        "reading a book on {obj}",
        "sitting on {obj} with an open book",
        "sitting and reading a book",
        "looking down at a book",
    ),
    "sitting_on_ground": (
        "sitting on the ground",
        "sitting on the ground and leaning back on {his} hands",
        "sitting down with {his} knees bent",
    ),
    "sitting_cross_legged": (
        "sitting cross-legged",
        "sitting on the ground with {his} legs crossed",
        "meditating with crossed legs",
    ),
    "lying_on_back": (
        "lying on {his} back",
        "lying face up on {obj}",
        "resting on {his} back",
        "stretched out on {obj}",
    ),
    "lying_on_side": (
        "lying on {his} side",
        "lying on one side on {obj}",
        "resting on {his} side with one arm under {his} head",
    ),
    "carrying": (
        "carrying {obj} with both hands",
        "holding {obj} in front of {him}",
        "carrying {obj}",
    ),
    "jumping": (
        "jumping in the air",
        "jumping with {his} arms up",
        "leaping high off the ground",
    ),
    "throwing": ("throwing {obj}", "about to throw {obj}", "getting ready to toss {obj}"),
    "kicking": ("kicking {obj}", "playing with {obj}", "about to kick {obj}"),
    "swinging": ("swinging {obj}", "playing tennis", "reaching out to hit with {obj}"),
    "stretching": (
        "stretching to one side with one arm over {his} head",
        "doing a side stretch",
        "bending sideways to stretch",
    ),
    "balancing": (
        "balancing on one leg in a yoga pose",
        "standing on one leg with {his} hands together overhead",
        "doing yoga on one foot",
    ),
    "skateboarding": (
        "riding {obj}",
        "balancing on {obj} with {his} arms out",
        "skating along on {obj}",
    ),
    "skiing": ("on skis", "skiing with bent knees", "wearing skis"),
    "holding_up": ("holding {obj}", "standing under {obj}", "holding {obj} over {his} head"),
    "drinking": ("drinking from {obj}", "holding {obj} up to {his} mouth", "taking a sip from {obj}"),
    "telephoning": ("talking on {obj}", "holding {obj} to {his} ear", "making a phone call"),
}

PLACES: dict[str, tuple[str, ...]] = {
    "park": ("in a park", "on the grass in a park", "in a grassy park", "outside on a sunny day"),
    "beach": ("on the beach", "at the beach", "on a sandy beach by the sea", "by the ocean"),
    "street": ("on a city street", "on the sidewalk", "in front of some buildings", "in the city"),
    "snow": ("in the snow", "on a snowy slope", "near snowy mountains", "on a snow-covered hill"),
    "court": ("on a tennis court", "on a sports court", "on a court with a fence behind it"),
    "living room": ("in a living room", "in a room with a large window", "inside a house", "indoors"),
    "bedroom": ("in a bedroom", "in a room", "inside a bedroom with a window", "indoors"),
    "gym": ("in a gym", "in an exercise room with mirrors", "in a fitness studio", "indoors"),
}

SYNONYMS = {
    "man": ("man", "man", "guy"),
    "woman": ("woman", "woman", "lady"),
    "boy": ("boy", "young boy", "little boy"),
    "girl": ("girl", "young girl", "little girl"),
}
PLURALS = {"man": "men", "woman": "women", "boy": "boys", "girl": "girls"}
PRONOUNS = {"man": ("his", "him"), "boy": ("his", "him"), "woman": ("her", "her"), "girl": ("her", "her")}
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}
OBJECT_WORDS = {"sports ball": ("ball", "soccer ball"), "potted plant": ("plant in a pot", "potted plant")}


class Seen(NamedTuple):
    """A person and the categories of the things of theirs that one can see."""

    actor: Actor
    categories: tuple[str, ...]


def write_captions(
    shown: Sequence[tuple[Actor, tuple[str, ...]]], setting: str, has_crowd: bool, rng: random.Random
) -> tuple[str, ...]:
    """Write five sentences.

    Args:
        shown: The people with the categories of their visible objects, far to near.
        setting: A key of `PLACES`.
        has_crowd: Whether spectators are drawn.
        rng: The scene's random stream.

    Returns:
        Five different sentences.
    """
    people = [Seen(a, c) for a, c in shown if not a.bystander]
    has_bystander = any(a.bystander for a, _ in shown)
    writer = _Writer(people, setting, has_crowd, has_bystander, rng)
    styles: list[Callable[[], str]] = [writer.plain, writer.noun_phrase, writer.place_first]
    styles += [writer.there_is, writer.short] if len(people) == 1 else [writer.count, writer.pair]
    rng.shuffle(styles)
    return tuple(style() for style in styles)


def article(words: str) -> str:
    """Put "a" or "an" before words.

    >>> article("orange shirt")
    'an orange shirt'
    """
    return f"{'an' if words[0] in 'aeio' or words.startswith('umb') else 'a'} {words}"


class _Writer:
    def __init__(
        self, people: Sequence[Seen], setting: str, has_crowd: bool, has_bystander: bool, rng: random.Random
    ) -> None:
        self.people, self.setting, self.rng = people, setting, rng
        self.has_crowd, self.has_bystander = has_crowd, has_bystander

    def plain(self) -> str:
        """Such as: A man is waving in a park."""
        someone = self._pick()
        noun = self._noun(someone, self.rng.random() < 0.4)
        return self._sentence(f"{noun} is {self._doing(someone, after_is=True)} {self._place()}", tail=True)

    def noun_phrase(self) -> str:
        """Such as: A man in a red shirt waving in a park."""
        someone = self._pick()
        return self._sentence(f"{self._noun(someone, True)} {self._doing(someone)} {self._place()}")

    def short(self) -> str:
        """Such as: A guy waving."""
        someone = self._pick()
        return self._sentence(f"{self._noun(someone, False)} {self._doing(someone)}")

    def place_first(self) -> str:
        """Such as: In a park, a man is waving."""
        someone = self._pick()
        noun = self._noun(someone, self.rng.random() < 0.6)
        return self._sentence(f"{self._place()}, {noun} is {self._doing(someone, after_is=True)}")

    def there_is(self) -> str:
        """Such as: There is a man waving in a park."""
        someone = self._pick()
        return self._sentence(f"there is {self._noun(someone, True)} {self._doing(someone)} {self._place()}", tail=True)

    def count(self) -> str:
        """Such as: Two men and a girl in a park, one of them waving."""
        someone = self._pick()
        group = self._group() if self.rng.random() < 0.5 else f"{NUMBERS[len(self.people)]} people"
        ending = f", one of them {self._doing(someone)}" if self.rng.random() < 0.6 else ""
        if self.has_bystander and not ending:
            ending = ", with someone else far behind them"
        return self._sentence(f"{group} {self._place()}{ending}")

    def pair(self) -> str:
        """Such as: A man is waving while a woman is walking."""
        a, b = self.rng.sample(list(self.people), 2)
        first = self._noun(a, self.rng.random() < 0.4)
        second = self._noun(b, self.rng.random() < 0.3)
        if a.actor.look.noun == b.actor.look.noun:
            second = "another " + second.split(" ", 1)[1]
        joined = self.rng.choice(
            ("{0} is {1} while {2} is {3}", "{0} {1} and {2} {3}", "{0} is {1} near {2} who is {3}")
        )
        return self._sentence(
            joined.format(first, self._doing(a, after_is=True), second, self._doing(b, after_is=True))
        )

    def _pick(self) -> Seen:
        return self.rng.choice(list(self.people))

    def _sentence(self, text: str, tail: bool = False) -> str:
        if tail and self.has_crowd and self.rng.random() < 0.6:
            text += " as a crowd watches"
        elif tail and self.has_bystander and self.rng.random() < 0.5:
            text += " with another person in the distance"
        return text[0].upper() + text[1:] + "."

    def _place(self) -> str:
        return self.rng.choice(PLACES[self.setting])

    def _noun(self, seen: Seen, detailed: bool) -> str:
        look = seen.actor.look
        noun = article(self.rng.choice(SYNONYMS[look.noun]))
        if not detailed:
            return noun
        extras = [f"in {article(look.shirt + ' ' + ('shirt' if look.long_sleeves else 't-shirt'))}"]
        if look.shorts:
            extras.append(f"wearing a {look.shirt} top and shorts")
        if abs(seen.actor.view.yaw_deg) > 140:
            extras.append("seen from behind")
        if "backpack" in seen.categories:
            extras.append("with a backpack")
        if "handbag" in seen.categories:
            extras.append("with a handbag")
        if "surfboard" in seen.categories:
            extras.append("with a surfboard")
        return f"{noun} {self.rng.choice(extras)}".replace("wearing a orange", "wearing an orange")

    def _doing(self, seen: Seen, *, after_is: bool = False) -> str:
        his, him = PRONOUNS[seen.actor.look.noun]
        name = seen.actor.kind.name
        support = next((c for c in seen.categories if c in SUPPORTS), "")
        held = next((c for c in seen.categories if c not in SUPPORTS), "")
        obj = support or held
        usable = [p for p in PHRASES[name] if (obj or "{obj}" not in p) and (held or not re.search("book|phone", p))]
        usable = [p for p in usable if not (after_is and p.startswith("with "))]
        carrying_bag = held in ("handbag", "surfboard")
        usable = [p for p in usable if not (carrying_bag and "arms at" in p)]
        words = self.rng.choice(OBJECT_WORDS.get(obj, (obj,))) if obj else ""
        phrase = self.rng.choice(usable or ["posing"])
        return phrase.format(his=his, him=him, obj=article(words) if words else "")

    def _group(self) -> str:
        counts = Counter(seen.actor.look.noun for seen in self.people)
        groups = [article(n) if k == 1 else f"{NUMBERS[k]} {PLURALS[n]}" for n, k in counts.items()]
        return groups[0] if len(groups) == 1 else ", ".join(groups[:-1]) + " and " + groups[-1]
