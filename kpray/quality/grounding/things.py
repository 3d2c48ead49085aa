"""Nouns for objects, and COCO's categories that they may mean."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "ball": ("sports ball",),
    "baseball": ("sports ball",),
    "basketball": ("sports ball",),
    "football": ("sports ball",),
    "soccer ball": ("sports ball",),
    "tennis ball": ("sports ball",),
    "volleyball": ("sports ball",),
    "bat": ("baseball bat",),
    "glove": ("baseball glove",),
    "mitt": ("baseball glove",),
    "catcher's mitt": ("baseball glove",),
    "racket": ("tennis racket",),
    "racquet": ("tennis racket",),
    "tennis racquet": ("tennis racket",),
    "disc": ("frisbee",),
    "board": ("skateboard", "snowboard", "surfboard", "skis"),
    "longboard": ("skateboard", "surfboard"),
    "ski": ("skis", "snowboard"),
    "bike": ("bicycle", "motorcycle"),
    "cycle": ("bicycle", "motorcycle"),
    "motorbike": ("motorcycle",),
    "scooter": ("motorcycle", "bicycle"),
    "pony": ("horse",),
    "puppy": ("dog",),
    "kitten": ("cat",),
    "calf": ("cow",),
    "lamb": ("sheep",),
    "phone": ("cell phone",),
    "mobile phone": ("cell phone",),
    "smartphone": ("cell phone",),
    "cellphone": ("cell phone",),
    "controller": ("remote",),
    "remote control": ("remote",),
    "glass": ("wine glass", "cup"),
    "mug": ("cup",),
    "parasol": ("umbrella",),
    "sofa": ("couch",),
    "table": ("dining table",),
    "bag": ("handbag", "backpack", "suitcase"),
    "purse": ("handbag",),
    "luggage": ("suitcase", "backpack", "handbag"),
    "plane": ("airplane",),
    "television": ("tv",),
    "computer": ("laptop", "tv"),
    "teddy": ("teddy bear",),
    "doughnut": ("donut",),
    "hotdog": ("hot dog",),
    "hot-dog": ("hot dog",),
    "hydrant": ("fire hydrant",),
    "slice": ("pizza", "cake"),
    "hair dryer": ("hair drier",),
    "blow dryer": ("hair drier",),
    "seat": ("chair", "bench", "couch"),
}
"""Lemmas that are no category's name; every category means itself."""

DISTINCT: Final = frozenset(
    {
        "airplane",
        "baseball bat",
        "bear",
        "bed",
        "bicycle",
        "bus",
        "cat",
        "cow",
        "dog",
        "elephant",
        "fire hydrant",
        "frisbee",
        "giraffe",
        "hair drier",
        "horse",
        "kite",
        "laptop",
        "microwave",
        "motorcycle",
        "oven",
        "parking meter",
        "refrigerator",
        "sheep",
        "skateboard",
        "skis",
        "snowboard",
        "stop sign",
        "suitcase",
        "surfboard",
        "teddy bear",
        "tennis racket",
        "toilet",
        "toothbrush",
        "train",
        "tv",
        "umbrella",
        "zebra",
    }
)
"""Categories of which COCO's annotators seldom overlook one; a chair, a cup or a ball may well be unmarked."""


@lru_cache(maxsize=4096)
def categories(noun: str) -> tuple[str, ...]:
    """COCO's categories that a noun may mean; the noun itself where no other is known.

    >>> categories("bike"), categories("red frisbee"), categories("horse")
    (('bicycle', 'motorcycle'), ('frisbee',), ('horse',))
    """
    known = SYNONYMS.get(noun)
    if known is not None:
        return known
    if noun in DISTINCT:
        return (noun,)
    _, space, rest = noun.partition(" ")
    return categories(rest) if space and rest in SYNONYMS.keys() | DISTINCT else (noun,)
