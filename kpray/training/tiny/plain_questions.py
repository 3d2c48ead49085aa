"""Questions that a caption answers: who is there, where, in which colour. None is about a pose.

The base learns from them that a question decides what is answered, and what yes and no mean. Without that, fine-tuning
spends its minutes on reading questions instead of on poses.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Final

from kpray.coco.synthetic.captions import PLACES, SYNONYMS
from kpray.schemas import Turn

_NOUNS: Final = {word: noun for noun, words in SYNONYMS.items() for word in words}
_WHERE: Final = {
    "park": "in a park",
    "beach": "on the beach",
    "street": "on a street",
    "snow": "in the snow",
    "court": "on a court",
    "living room": "in a living room",
    "bedroom": "in a bedroom",
    "gym": "in a gym",
}
_INSIDE: Final = ("living room", "bedroom", "gym")
_COLOUR: Final = re.compile(r"(?:in an?|wearing an?) (\w+) (?:t-shirt|shirt|top)")
_COLOURS: Final = ("red", "blue", "green", "yellow", "white", "black", "gray", "orange", "purple", "pink")
_TURNS: Final = 4

_Exchange = tuple[str, str]


def plain_conversation(captions: Sequence[str], draws: random.Random) -> tuple[Turn, ...]:
    """Some questions with answers about a picture, in a drawn order and wording.

    Args:
        captions: Of the picture; only what they say is asked.
        draws: Decides which, and which yes-or-no questions have which answer.

    Returns:
        Turns without ``<image>``; none if the captions do not say enough.
    """
    text = " ".join(captions).lower()
    asked = [*_who(text, draws), *_where(text, draws), *_colour(text, draws)]
    chosen = draws.sample(asked, min(_TURNS, len(asked)))
    return tuple(turn for q, a in chosen for turn in (Turn("human", q), Turn("gpt", a)))


def _who(text: str, draws: random.Random) -> list[_Exchange]:
    noun = next((noun for word, noun in _NOUNS.items() if re.search(rf"\b{word}\b", text)), None)
    if noun is None:
        return []
    other = draws.choice([n for n in SYNONYMS if n != noun])
    open_question = draws.choice(("Who is in the picture?", "Whom does the image show?"))
    return [
        (open_question, f"It is a {noun}."),
        draws.choice(
            [
                (f"Is there a {noun} in the picture?", f"{_yes(draws)} it is a {noun}."),
                (f"Is there a {other} in the picture?", f"No, it is a {noun}."),
            ]
        ),
    ]


def _where(text: str, draws: random.Random) -> list[_Exchange]:
    fitting = [place for place, phrases in PLACES.items() if any(p in text for p in phrases if p != "indoors")]
    if len(fitting) != 1:
        return []
    place = fitting[0]
    other = draws.choice([p for p in PLACES if p != place])
    inside, here = place in _INSIDE, _WHERE[place]
    return [
        (draws.choice(("Where is this?", "Where does the scene take place?")), f"It is {here}."),
        draws.choice(
            [
                (f"Is this {here}?", f"{_yes(draws)} it is {here}."),
                (f"Is this {_WHERE[other]}?", f"No, it is {here}."),
            ]
        ),
        ("Is this indoors?", f"{_yes(draws)} it is {here}." if inside else f"No, it is {here}."),
    ]


def _colour(text: str, draws: random.Random) -> list[_Exchange]:
    found = _COLOUR.search(text)
    if found is None or found[1] not in _COLOURS:
        return []
    other = draws.choice([colour for colour in _COLOURS if colour != found[1]])
    return [
        ("What colour is the shirt?", f"The shirt is {found[1]}."),
        draws.choice(
            [
                (f"Is the shirt {found[1]}?", f"{_yes(draws)} the shirt is {found[1]}."),
                (f"Is the shirt {other}?", f"No, the shirt is {found[1]}."),
            ]
        ),
    ]


def _yes(draws: random.Random) -> str:
    return draws.choice(("Yes,", "Yes:", "That is so:"))
