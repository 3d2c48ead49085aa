"""The line on stderr by which a command that takes long shows that it goes on."""

from __future__ import annotations

import sys
import time
from typing import Self

import click


class StatusLine:
    """A line that is shown once a second on a terminal, and every ten seconds in a log."""

    def __init__(self, *, after_s: float = 0.0) -> None:
        """Show nothing before so many seconds."""
        self._terminal = sys.stderr.isatty()
        self._next = time.monotonic() + after_s
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def is_due(self) -> bool:
        """Whether `show` would be in time; asking when it is makes it wait again."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + (1 if self._terminal else 10)
        return True

    def show(self, text: str) -> None:
        """Show it in place of what stands there."""
        self._shown = True
        click.echo(f"\r\x1b[K{text}" if self._terminal else text, err=True, nl=not self._terminal)

    def __exit__(self, *exception: object) -> None:
        if self._shown and self._terminal:
            click.echo(err=True)
