"""The results of a batch that has ended are fetched and put into the ledger."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Final

from kpray.errors import TeacherError
from kpray.pipelines.batch_fill.parts import Part, PartFolder
from kpray.pipelines.batch_fill.results import Collected
from kpray.pipelines.batch_fill.submitting import patiently
from kpray.pipelines.shards import ShardFiles
from kpray.schemas import Reply
from kpray.teachers.openai_batch import BatchAccount, BatchState, NotTakenError

if TYPE_CHECKING:
    from kpray.ledger.prices import ModelPrice

_LOOKS_FOR_RESULTS: Final = 3
"""A file of results may come a little after its batch has ended."""


class Collector:
    """Collects ended batches."""

    def __init__(
        self,
        account: BatchAccount,
        folder: PartFolder,
        files: ShardFiles,
        model: str,
        price: ModelPrice | None,
        patience_s: float,
        *,
        on_reply: Callable[[Reply], None],
    ) -> None:
        """Keep what is needed.

        Args:
            account: Where the results are.
            folder: Where the parts are.
            files: Of the run, for its ledger.
            model: Whose price is known.
            price: Of the model, or None.
            patience_s: How long a download is tried again.
            on_reply: Called with every reply, once it is durable.
        """
        self._account = account
        self._folder = folder
        self._files = files
        self._model = model
        self._price = price
        self._patience_s = patience_s
        self._on_reply = on_reply
        self._looks: Counter[str] = Counter()

    def collect(self, part: Part, state: BatchState) -> Collected | None:
        """Make all replies durable; None if the results are not there yet.

        Raises:
            TeacherError: The results are gone.
            TeacherUnavailableError: The server could not be reached for too long.
            StorageError: The ledger cannot be written.
        """
        if state.done and state.output_file is None:
            self._looks[part.name] += 1
            if self._looks[part.name] == _LOOKS_FOR_RESULTS:
                raise self._lost(part, state, "there is no file of results")
            return None
        collected = Collected(
            self._folder.read_ids(part.name),
            self._files,
            run=part.run,
            submitted_at=state.created_at,
            price=self._price if part.model == self._model else None,
            on_reply=self._on_reply,
        )
        for file_id in filter(None, (state.output_file, state.error_file)):
            with tempfile.TemporaryFile() as file:
                self._download(file_id, file, part, state)
                collected.add(file)
        collected.finish()
        return collected

    def _download(self, file_id: str, into: IO[bytes], part: Part, state: BatchState) -> None:
        try:
            patiently(lambda: self._account.download(file_id, into), patience_s=self._patience_s)
        except NotTakenError as error:
            raise self._lost(part, state, str(error)) from error

    def _lost(self, part: Part, state: BatchState, why: str) -> TeacherError:
        return TeacherError(
            f"the results of batch {state.batch_id} cannot be fetched ({why}): {state.done:,} answers, which were paid "
            f"for. If they are gone for good, delete {self._folder.state_file(part.name)} and start again: its "
            "requests are then asked, and paid for, once more"
        )
