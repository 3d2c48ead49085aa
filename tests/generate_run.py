"""`kpray generate` as the tests run it: small, in this process, with its folder looked into."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pytest
from openai_server import OpenAIServer

from kpray.cli import run

COUNT = 10
SMALL = ["--set", f"synthetic.count={COUNT}", "--set", "synthetic.images=false", "--set", "shard_size=4"]
UNCHECKED = ["--check", "report", "--set", "check.near_duplicates=null"]
"""For tests of asking: the local server says the same of every picture, which is mostly wrong."""


def openai_flags(server: OpenAIServer, *more: str) -> list[str]:
    settings = [f"teacher.base_url={server.base_url}", "teacher.retry_for_s=0", *more]
    return ["--teacher", "openai", *UNCHECKED, *(part for setting in settings for part in ("--set", setting))]


class Run:
    """A run of the command, and its folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys
        self.summary: dict[str, Any] = {}
        self.stderr = ""

    def __call__(self, *flags: str) -> int:
        code = run(["generate", "--out", str(self.folder), "--json", *SMALL, *flags])
        captured = self._capsys.readouterr()
        self.summary, self.stderr = json.loads(captured.out.splitlines()[-1]), captured.err
        return code

    @property
    def llava(self) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = json.loads((self.folder / "llava.json").read_text())
        return records

    def rejected(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pads.dataset(self.folder / "rejected").to_table().to_pylist()
        return rows

    def hashes(self) -> dict[str, str]:
        """Contents of everything a training run could read, and of the rejects."""
        files = [p for name in ("samples", "rejected", "llava.json") for p in walk(self.folder / name)]
        return {str(p.relative_to(self.folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    def times(self) -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in walk(self.folder) if p.name != "run.json"}


def walk(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
