"""A part goes to the server, and never twice, whenever this process or the connection dies.

Before the server is told anything, the part's state says so. Where it cannot be known whether the server heard (the
state says so and no more, or an answer got lost), the server's own lists are looked through first, and what is found
there is taken over.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from kpray.errors import TeacherBusyError, TeacherUnavailableError
from kpray.pipelines.batch_fill.parts import Part, PartFolder
from kpray.teachers.openai_batch import KEY_MARK, BatchAccount, BatchState

_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0
_LONGEST_SETTLING_S: Final = 30.0

T = TypeVar("T")


def patiently(call: Callable[[], T], *, patience_s: float) -> T:
    """Make a call again and again while the server is busy or cannot be reached, as long as patience lasts.

    Raises:
        TeacherUnavailableError: It lasted no longer.
    """
    waited_s, longest_s = 0.0, _FIRST_WAIT_S
    while True:
        try:
            return call()
        except TeacherBusyError as error:
            if waited_s >= patience_s:
                raise TeacherUnavailableError(
                    f"{error}, for {waited_s:.0f} s by now. Nothing is lost: start again to go on where it stopped"
                ) from error
            wait_s = random.uniform(longest_s / 2, longest_s) if error.retry_after_s is None else error.retry_after_s
            time.sleep(wait_s)
            waited_s += wait_s
            longest_s = min(2 * longest_s, _LONGEST_WAIT_S)


class Submitter:
    """Uploads parts and creates their batches.

    Attributes:
        submitted: Batches created.
        adopted: Batches that were there already.
    """

    def __init__(self, account: BatchAccount, folder: PartFolder, *, patience_s: float, poll_s: float) -> None:
        """Keep what is needed.

        Args:
            account: Where to.
            folder: Where the parts are.
            patience_s: How long a call is tried again.
            poll_s: Between the two looks for a batch that may have been created.
        """
        self._account = account
        self._folder = folder
        self._patience_s = patience_s
        self._settling_s = min(poll_s, _LONGEST_SETTLING_S)
        self.submitted = 0
        self.adopted = 0

    def submit(self, part: Part) -> tuple[Part, BatchState]:
        """Make sure that a part has a batch, and one only.

        Raises:
            NotTakenError: The server does not want it.
            TeacherStoppedError: No call can succeed.
            TeacherUnavailableError: The server could not be reached for too long.
        """
        part = self._uploaded(part)
        in_doubt = part.step == "submitting"
        part = self._folder.advance(part, "submitting")
        assert part.file_id is not None
        marks = {
            "kpray_run": part.run,
            "kpray_part": part.name,
            "kpray_attempt": str(part.attempt),
            KEY_MARK: part.key,
        }

        def attempt(file_id: str = part.file_id) -> BatchState:
            nonlocal in_doubt
            found = self._look_twice(part) if in_doubt else None
            self.adopted += found is not None
            in_doubt = True
            return found or self._account.create(file_id, marks)

        before = self.adopted
        state = patiently(attempt, patience_s=self._patience_s)
        self.submitted += self.adopted == before
        return self._folder.advance(part, "submitted", batch_id=state.batch_id), state

    def find(self, part: Part) -> tuple[Part, BatchState] | None:
        """The batch of a part that may have been submitted, or None if it has not been."""
        state = patiently(lambda: self._look_twice(part), patience_s=self._patience_s)
        if state is None:
            return None
        self.adopted += 1
        return self._folder.advance(part, "submitted", batch_id=state.batch_id), state

    def _uploaded(self, part: Part) -> Part:
        if part.file_id is not None:
            return part
        in_doubt = part.step == "uploading"
        part = self._folder.advance(part, "uploading")

        def attempt() -> str:
            nonlocal in_doubt
            found = self._account.find_upload(part.upload_name, part.bytes) if in_doubt else None
            in_doubt = True
            return found or self._upload(part)

        file_id = patiently(attempt, patience_s=self._patience_s)
        return self._folder.advance(part, "uploaded", file_id=file_id)

    def _upload(self, part: Part) -> str:
        with self._folder.open_requests(part.name) as stream:
            return self._account.upload(part.upload_name, stream)

    def _look_twice(self, part: Part) -> BatchState | None:
        """Look for a part's batch; twice, because the server may be at work on a call whose caller is gone."""
        found = self._account.find_batch(part.key)
        if found is None:
            time.sleep(self._settling_s)
            found = self._account.find_batch(part.key)
        return found
