"""Who may import whom (docs/design.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CORE = {"schemas", "errors", "config", "lineage", "storage", "llava", "models"}
CORE |= {"coco", "pose", "prompts", "quality", "scoring"}
MIDDLE = {"teachers", "ledger", "judges"}
UPPER = {"pipelines", "training", "serving", "reports"}
NOT_IN_CORE = {"ray", "torch", "transformers", "openai", "aiohttp", "httpx"}

ALLOWED = (
    dict.fromkeys(CORE, CORE)
    | dict.fromkeys(MIDDLE, CORE | MIDDLE)
    | {part: CORE | MIDDLE | {part} for part in UPPER}
    | {"cli": CORE | MIDDLE | UPPER | {"cli"}, "__init__": set()}
)


def imports(path: Path) -> Iterator[str]:
    """Dotted names of all modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""


MODULES = sorted((ROOT / "kpray").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    part = path.relative_to(ROOT / "kpray").parts[0].removesuffix(".py")
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == "kpray" and rest:
            assert rest.split(".")[0] in ALLOWED[part], f"kpray.{part} must not import {name}"
        if part in CORE:
            assert top not in NOT_IN_CORE, f"kpray.{part} must not import {name}"


def test_importing_the_core_loads_no_ray_no_torch_no_client() -> None:
    parts = sorted(part for part in CORE if list((ROOT / "kpray").glob(f"{part}*")))
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; import {', '.join(f'kpray.{p}' for p in parts)}; print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert NOT_IN_CORE.isdisjoint(loaded)
