"""Many pictures on one: a grid with a few words under each."""

from __future__ import annotations

import math
from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageFont

PAPER_RGB = (250, 249, 246)
INK_RGB = (40, 42, 48)


def contact_sheet(tiles: Iterable[tuple[Image.Image, str]], *, columns: int, tile_px: int) -> Image.Image:
    """Lay pictures out in a grid.

    Args:
        tiles: Pictures and the text under each, wrapped to the tile's width; a newline starts a new line.
        columns: Pictures per row, at least 1.
        tile_px: Width and height of the square that each picture is fitted into.

    Returns:
        An RGB picture; every row is as high as its longest text needs.

    Raises:
        ValueError: There is nothing to show, or columns or tile_px are not positive.
    """
    shown = list(tiles)
    if not shown or columns < 1 or tile_px < 1:
        raise ValueError("a contact sheet needs at least one tile, one column and a positive tile size")
    font = ImageFont.load_default(size=max(tile_px / 18, 11))
    pad, line = max(tile_px // 24, 4), math.ceil(_line_height(font))
    texts = [wrapped(text, font, tile_px) for _, text in shown]
    rows = [range(i, min(i + columns, len(shown))) for i in range(0, len(shown), columns)]
    heights = [tile_px + 2 * pad + line * max(len(texts[i]) for i in row) for row in rows]
    wide = min(columns, len(shown)) * (tile_px + pad) + pad
    sheet = Image.new("RGB", (wide, sum(heights) + pad), PAPER_RGB)
    draw = ImageDraw.Draw(sheet)
    for row, top in zip(rows, _running_sum(heights), strict=True):
        for column, i in enumerate(row):
            x, y = pad + column * (tile_px + pad), pad + top
            _paste_fitted(sheet, shown[i][0], x, y, tile_px)
            draw.multiline_text((x, y + tile_px + pad // 2), "\n".join(texts[i]), INK_RGB, font, spacing=line / 8)
    return sheet


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def wrapped(text: str, font: Font, width_px: float) -> list[str]:
    """Break a text into lines no wider than a width (a single longer word stays whole)."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        current = ""
        for word in paragraph.split():
            longer = f"{current} {word}".strip()
            if current and font.getlength(longer) > width_px:
                lines.append(current)
                longer = word
            current = longer
        lines.append(current)
    return lines


def _line_height(font: Font) -> float:
    _, top, _, bottom = font.getbbox("Äg")
    return (bottom - top) * 1.35


def _running_sum(heights: list[int]) -> list[int]:
    return [sum(heights[:i]) for i in range(len(heights))]


def _paste_fitted(sheet: Image.Image, picture: Image.Image, x: int, y: int, tile_px: int) -> None:
    scale = tile_px / max(picture.size)
    size = max(round(picture.width * scale), 1), max(round(picture.height * scale), 1)
    small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    sheet.paste(small, (x + (tile_px - size[0]) // 2, y + (tile_px - size[1])))
