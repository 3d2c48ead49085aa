from __future__ import annotations

import pytest

from kpray.scoring.published import PublishedRow, published, recomputed


@pytest.mark.parametrize("row", published().rows, ids=lambda row: f"{row.table}-{row.system}")
def test_every_printed_cell_comes_out_of_the_integer_sums(row: PublishedRow) -> None:
    assert recomputed(row, images=published().images) == row.printed


def test_the_papers_relative_gains_come_out() -> None:
    overall = {row.system: float(row.printed[3]) for row in published().rows}
    assert round(100 * (overall["Full data"] / overall["LLaVA-1.5-7B"] - 1), 2) == 21.18
    assert round(100 * (overall["Enhanced LLaVA-1.5-7B"] / overall["Qwen2-VL-72B"] - 1), 1) == 3.8


def test_all_rows_of_both_tables_are_there() -> None:
    assert [row.table for row in published().rows] == [4] * 5 + [5] * 4
