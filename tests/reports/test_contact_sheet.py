from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageFont

from kpray.reports.contact_sheet import INK_RGB, contact_sheet, wrapped
from kpray.reports.synthetic_sheets import write_sheets

RED, BLUE = (200, 0, 0), (0, 0, 200)


def test_tiles_are_laid_out_in_rows() -> None:
    tiles = [(Image.new("RGB", (50, 50), c), "") for c in (RED, BLUE, RED)]
    sheet = contact_sheet(tiles, columns=2, tile_px=100)
    assert sheet.getpixel((50, 50)) == RED
    assert sheet.getpixel((160, 50)) == BLUE
    assert sheet.getpixel((50, sheet.height - 60)) == RED
    assert sheet.getpixel((160, sheet.height - 60)) not in (RED, BLUE)


def test_pictures_keep_their_shape() -> None:
    sheet = contact_sheet([(Image.new("RGB", (200, 50), RED), "")], columns=1, tile_px=100)
    red = [count for count, colour in sheet.getcolors(100_000) or [] if colour == RED]
    assert red == [100 * 25]


def test_long_texts_are_wrapped_and_make_room() -> None:
    picture = Image.new("RGB", (10, 10), RED)
    short = contact_sheet([(picture, "word")], columns=1, tile_px=200)
    long = contact_sheet([(picture, "many words " * 20)], columns=1, tile_px=200)
    assert long.height > short.height + 60
    assert INK_RGB in {colour for _, colour in long.getcolors(1_000_000) or []}


def test_wrapping_keeps_every_word_and_the_width() -> None:
    font = ImageFont.load_default(size=14)
    text = "A person who stands beside a bench\nsecond line"
    lines = wrapped(text, font, 120)
    assert " ".join(lines).split() == text.split()
    assert all(font.getlength(line) <= 120 for line in lines)
    assert "second line" in lines


@pytest.mark.parametrize(("columns", "tile_px"), [(0, 100), (2, 0)])
def test_impossible_sheets_are_refused(columns: int, tile_px: int) -> None:
    with pytest.raises(ValueError, match="at least one tile"):
        contact_sheet([(Image.new("RGB", (5, 5)), "")], columns=columns, tile_px=tile_px)


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one tile"):
        contact_sheet([], columns=2, tile_px=50)


def test_the_documentations_sheets_are_the_same_each_time(tmp_path: Path) -> None:
    first = write_sheets(str(tmp_path / "a"), count=2, seed=1)
    second = write_sheets(str(tmp_path / "b"), count=2, seed=1)
    assert [Path(p).read_bytes() for p in first] == [Path(p).read_bytes() for p in second]
