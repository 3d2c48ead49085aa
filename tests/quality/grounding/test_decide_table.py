"""The decision table and its copy in the docs."""

from __future__ import annotations

from pathlib import Path

from kpray.quality.grounding.table import SOURCE

DOCS = Path(__file__).parents[3] / "docs" / "grounding.md"


def row(name: str, value: str, columns: tuple[str, ...]) -> str:
    cells = ["; ".join(" ".join(part.split()) for part in texts.split("|") if part.strip()) for texts in columns]
    filled = [cell or "none" for cell in (*cells, "")[:3]]
    return f"| `{name}` {value} | {' | '.join(filled)} |"


def test_the_docs_have_the_table():
    after = DOCS.read_text().split("## The decision table")[1].split("\n## ")[0]
    said = [line for line in after.splitlines() if line.startswith("| `")]
    assert said == [row(name, value, columns) for (name, value), columns in SOURCE.items()]
