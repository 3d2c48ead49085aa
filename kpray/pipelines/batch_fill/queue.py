"""What is at the server: batches that are being worked on, and whether there is room for more."""

from __future__ import annotations

import time
from typing import Final

from kpray.errors import TeacherBusyError, TeacherError, TeacherUnavailableError
from kpray.pipelines.batch_fill.parts import Part
from kpray.pipelines.batch_fill.report import PartProgress
from kpray.teachers.openai_batch import BatchAccount, BatchState, NotTakenError

_UNHEARD_S: Final = 3_600.0
"""So long the server may be out of reach while batches run."""

_LONGEST_WAIT: Final = 20
"""In polls, between two tries of a part that the server has no room for."""


class Queue:
    """The parts that have a batch.

    Attributes:
        note: What is being waited for besides the batches; empty when nothing.
        wait_s: How long to wait until the next look.
        crowded: Whether the server had no room for the last part.
        refusals: How often in a row the server had no room although no other batch of ours was there.
    """

    def __init__(self, account: BatchAccount, *, max_tokens: int | None, poll_s: float) -> None:
        """Begin empty.

        Args:
            account: Where the batches are.
            max_tokens: Prompt tokens that all of them may have together; None is no limit.
            poll_s: Between two looks.
        """
        self._account = account
        self._max_tokens = max_tokens
        self._poll_s = poll_s
        self._parts: dict[str, Part] = {}
        self._states: dict[str, BatchState | None] = {}
        self._heard_at = time.monotonic()
        self.crowded = False
        self._probing = False
        self.note = ""
        self.wait_s = poll_s
        self.refusals = 0

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, part: Part, state: BatchState | None) -> None:
        """Take a part up; without a state it is looked at with the next look."""
        self._parts[part.name] = part
        self._states[part.name] = state

    def remove(self, part: Part) -> None:
        """Let a part go that has ended; its place may be taken by another one."""
        del self._parts[part.name], self._states[part.name]
        self.crowded = False

    def has_room(self, part: Part) -> bool:
        """Whether a part may be submitted now."""
        if self.crowded or not self._parts:
            return not self.crowded
        tokens = sum(other.tokens for other in self._parts.values()) + part.tokens
        return not self._probing and (self._max_tokens is None or tokens <= self._max_tokens)

    def refuse(self, part: Part) -> None:
        """Let a part go that the server has no room for.

        From now on nothing is submitted until a batch of ours ends. If none is there, one part alone is tried, after
        longer and longer waits, until the server takes one.
        """
        self._parts.pop(part.name, None)
        self._states.pop(part.name, None)
        self.crowded = self._probing = True
        if not self._parts:
            self.refusals += 1

    def wait(self) -> None:
        """Wait until the next look."""
        if self._parts:
            time.sleep(self.wait_s)
            return
        time.sleep(self._poll_s * min(_LONGEST_WAIT, 2 ** min(self.refusals, 10)))
        self.crowded = False  # other programs of the account may have made room

    def look(self) -> list[tuple[Part, BatchState]]:
        """Look at all batches; returns those that have ended.

        A server that is out of reach is no reason to give up: the batches go on without us.

        Raises:
            TeacherUnavailableError: It was out of reach for an hour.
            TeacherError: It does not know a batch.
        """
        self.note, self.wait_s = "", self._poll_s
        try:
            for name, part in self._parts.items():
                self._states[name] = self._look_at(part)
        except TeacherBusyError as error:
            self._take_silence(error)
        else:
            self._heard_at = time.monotonic()
        if self.crowded:
            self.note = "the account's enqueued tokens are used up: waiting for room"
        seen = [(self._parts[name], state) for name, state in self._states.items() if state is not None]
        if any(state.status not in ("validating", "failed") for _, state in seen):
            self.refusals, self._probing = 0, False
        return [(part, state) for part, state in seen if state.is_final]

    def progress(self) -> list[PartProgress]:
        """All parts, for a person."""
        return [_progress(part, self._states[name]) for name, part in self._parts.items()]

    def _look_at(self, part: Part) -> BatchState:
        assert part.batch_id is not None
        try:
            return self._account.look(part.batch_id)
        except NotTakenError as error:
            raise TeacherError(
                f"{error}. It was created for part {part.name} of this run: start again with the same server and an "
                "account that may see it"
            ) from error

    def _take_silence(self, error: TeacherBusyError) -> None:
        silent_s = time.monotonic() - self._heard_at
        if silent_s > _UNHEARD_S:
            raise TeacherUnavailableError(
                f"{error}, for {silent_s:.0f} s by now. The batches go on at the server: start again to collect them"
            ) from error
        self.note = f"{error}: trying again"
        self.wait_s = max(self._poll_s, error.retry_after_s or 0.0)


def _progress(part: Part, state: BatchState | None) -> PartProgress:
    if state is None:
        return PartProgress(part.name, part.batch_id or "", "not looked at yet", 0, 0, part.requests)
    return PartProgress(part.name, state.batch_id, state.status, state.done, state.failed, state.total or part.requests)
