"""The papers' tables, as printed and as the integer ratings that they come from.

The papers give no intervals, judged once and in one order, and a model's score depends on whom it was shown beside:
LLaVA-1.5-7B has four opponents in Table 4, the enhanced model three in Table 5. So these rows stand in our tables
marked as published, and are not compared with ours.
"""

from __future__ import annotations

import functools
from decimal import ROUND_HALF_UP, Decimal
from importlib.resources import files
from typing import Final, Literal

import msgspec
import yaml

PUBLISHED_CATEGORIES: Final = ("conversation", "detailed", "reasoning", "")
"""Of a row's cells; the empty one is all categories together, as in `kpray.scoring.types.Score`."""

Cells = tuple[str, str, str, str]


class PublishedRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of a published table.

    Attributes:
        table: Its number in the paper.
        system: As the paper names it.
        pairings: With how many opponents every question was judged.
        sums: Of the ratings, by category.
        printed: The paper's cells, in the order of `PUBLISHED_CATEGORIES`.
    """

    table: Literal[4, 5]
    system: str
    pairings: int
    sums: tuple[int, int, int]
    printed: Cells


class Published(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tables.

    Attributes:
        source: Where they are from.
        images: Each has one question of every category.
        rows: In the papers' order.
    """

    source: str
    images: int
    rows: tuple[PublishedRow, ...]


@functools.cache
def published() -> Published:
    """What ``published.yaml`` holds."""
    text = (files("kpray.scoring") / "published.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), Published)


def recomputed(row: PublishedRow, *, images: int) -> Cells:
    """A row's cells from its sums of ratings: ten times the mean, to two places, halves away from zero.

    >>> recomputed(published().rows[0], images=30)
    ('43.67', '67.00', '66.67', '59.11')
    """
    ratings = images * row.pairings
    conversation, detailed, reasoning = (_cell(total, ratings) for total in row.sums)
    return conversation, detailed, reasoning, _cell(sum(row.sums), 3 * ratings)


def _cell(total: int, ratings: int) -> str:
    return str((Decimal(10 * total) / ratings).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))
