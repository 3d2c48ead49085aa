"""What every teacher can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kpray.ledger.limits import ServerLimits
from kpray.schemas import Reply, Request, Scene


class Teacher(Protocol):
    """Something that answers requests; a benchmark's model and judge are asked in the same way.

    Attributes:
        name: Its name in a configuration.
        model: ``name/model``; part of every request and so of its id.
        reads_scene: Whether it answers from ``Request.scene`` instead of the messages.
        server_limits: The limits that the server named last; None where it names none.
    """

    name: str
    model: str
    reads_scene: bool
    server_limits: ServerLimits | None

    async def preflight(self) -> None:
        """Make sure that it can be asked, without spending anything.

        Raises:
            TeacherError: It cannot; the message says why and what to do.
        """

    def prepare(self, scenes: Sequence[Scene]) -> None:
        """Take note of the scenes that requests will soon come about; most teachers have no use for it."""

    async def ask(self, request: Request) -> Reply:
        """Answer one request in one attempt; trying again is the `Engine`'s business.

        A refusal, and an error that asking again cannot mend, are replies too (see `Reply.finish_reason`).

        Raises:
            TeacherBusyError: This attempt failed; another one soon may not.
            TeacherUnavailableError: It failed, and this run should not try again; a later one may.
            TeacherStoppedError: No request can succeed any more.
        """

    async def aclose(self) -> None:
        """Release connections."""
