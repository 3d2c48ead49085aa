"""Files and batches of an OpenAI account (https://platform.openai.com/docs/guides/batch), through the official client.

Every method is one attempt: what is worth another one raises `TeacherBusyError`, and the caller decides. The client's
own retries are off, because a batch that was created without our hearing of it must not be created once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Final

import msgspec
import openai

from kpray.config import TeacherConfig
from kpray.errors import TeacherBusyError, TeacherError, TeacherStoppedError
from kpray.teachers.completions import NO_MONEY
from kpray.teachers.openai import KEY_VARIABLE, Secret, retry_after_s

ENDPOINT: Final = "/v1/chat/completions"

TOKEN_LIMIT: Final = "token_limit_exceeded"
"""The code of a batch that would have taken the account beyond its enqueued prompt tokens."""

KEY_MARK: Final = "kpray_key"
"""The key of a batch's metadata by which it is found again."""

_TRANSFER: Final = openai.Timeout(600.0, connect=20.0)
"""Seconds; for a file of 200 MB, between two signs of life."""

_WORTH_RETRYING: Final = (408, 409, 429)


class NotTakenError(TeacherError):
    """The server understood the call and will not do it.

    Attributes:
        status: HTTP status.
        code: The server's own, or None.
    """

    def __init__(self, message: str, *, status: int, code: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class BatchFault(msgspec.Struct, frozen=True):
    """Why a batch did not pass validation; the line counts from 1, None is the whole batch."""

    code: str
    message: str
    line: int | None = None


class BatchState(msgspec.Struct, frozen=True):
    """A batch as the server sees it.

    Attributes:
        batch_id: The server's.
        status: ``validating``, ``in_progress``, ``finalizing``, ``cancelling``, or a final one: ``completed``,
            ``failed``, ``expired``, ``cancelled``.
        done: Requests answered.
        failed: Requests that ended with an error.
        total: Requests in all; 0 before they were counted.
        created_at: Unix seconds.
        output_file: Id of the file with answers; None where there are none.
        error_file: Likewise, with errors.
        faults: Why it failed.
    """

    batch_id: str
    status: str
    done: int
    failed: int
    total: int
    created_at: int
    output_file: str | None
    error_file: str | None
    faults: tuple[BatchFault, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ("completed", "failed", "expired", "cancelled")

    def has_fault(self, codes: frozenset[str]) -> bool:
        """Whether one of its faults has one of these codes."""
        return any(fault.code in codes for fault in self.faults)

    @property
    def why(self) -> str:
        """Its end in words."""
        faults = "; ".join(f"{fault.code}: {fault.message}" for fault in self.faults[:3])
        return f"{self.status} ({faults})" if faults else self.status


class BatchAccount:
    """The files and batches of one account at one server."""

    def __init__(self, settings: TeacherConfig, key: Secret) -> None:
        """Keep the settings; the first call connects."""
        self.server = settings.base_url or "api.openai.com"
        self._client = openai.OpenAI(
            api_key=key.reveal(),
            base_url=settings.base_url,
            timeout=_TRANSFER,
            max_retries=0,
        )
        self._quick = self._client.with_options(timeout=settings.timeout_s)

    def upload(self, name: str, stream: IO[bytes]) -> str:
        """Upload a file of requests; returns its id."""
        with self._explained("take the file of a batch"):
            return self._client.files.create(file=(name, stream, "application/jsonl"), purpose="batch").id

    def find_upload(self, name: str, size: int) -> str | None:
        """The id of a file that was uploaded under this name, whole; None if there is none."""
        with self._explained("list files"):
            for file in self._quick.files.list(purpose="batch"):
                if file.filename == name and file.bytes == size and file.status != "error":
                    return file.id
        return None

    def create(self, file_id: str, marks: Mapping[str, str]) -> BatchState:
        """Create a batch; `marks` become its metadata."""
        with self._explained("create a batch"):
            batch = self._quick.batches.create(
                input_file_id=file_id, endpoint=ENDPOINT, completion_window="24h", metadata=dict(marks)
            )
            return _state(batch)

    def find_batch(self, key: str) -> BatchState | None:
        """The batch whose metadata holds this key; None if there is none."""
        with self._explained("list batches"):
            for batch in self._quick.batches.list(limit=100):
                if (batch.metadata or {}).get(KEY_MARK) == key:
                    return _state(batch)
        return None

    def look(self, batch_id: str) -> BatchState:
        """A batch as it is now."""
        with self._explained(f"tell of batch {batch_id}"):
            return _state(self._quick.batches.retrieve(batch_id))

    def download(self, file_id: str, into: IO[bytes]) -> None:
        """Write a file of results; what was in `into` is replaced."""
        into.seek(0)
        into.truncate()
        with (
            self._explained(f"send file {file_id}"),
            self._client.files.with_streaming_response.content(file_id) as response,
        ):
            for chunk in _chunks(response):
                into.write(chunk)
        into.seek(0)

    def close(self) -> None:
        """Release connections."""
        self._client.close()

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn the client's errors into kpray's.

        Raises:
            TeacherBusyError: Worth another attempt.
            TeacherStoppedError: The key does not work, or the account has no money left.
            NotTakenError: The server will not do this.
        """
        try:
            yield
        except openai.APIStatusError as error:
            raise self._explain(error, doing) from error
        except openai.APIConnectionError as error:
            raise TeacherBusyError(f"cannot reach {self.server} ({error.__cause__ or error})") from error
        except openai.APIError as error:
            raise TeacherBusyError(f"{self.server} did not {doing}: {error.message}") from error

    def _explain(self, error: openai.APIStatusError, doing: str) -> TeacherError:
        status, message = error.status_code, f"{self.server} did not {doing}: {error.message}"
        if error.code in NO_MONEY:
            return TeacherStoppedError(f"{message}. The account has no money left to spend: add some, and start again")
        if status in (401, 403):
            return TeacherStoppedError(f"{message}. Check the key in {KEY_VARIABLE} and what it may do")
        if status in _WORTH_RETRYING or status >= 500:
            wait_s = retry_after_s(error.response.headers)
            return TeacherBusyError(message, retry_after_s=wait_s, overloaded=status in (429, 503))
        return NotTakenError(message, status=status, code=error.code)


def _chunks(response: openai.APIResponse[bytes]) -> Iterator[bytes]:
    chunks = response.iter_bytes()
    while True:
        try:
            chunk = next(chunks, None)
        except Exception as error:  # while a body streams, the client lets its transport's own errors through
            raise TeacherBusyError(f"the connection broke during a download ({error})") from error
        if chunk is None:
            return
        yield chunk


def _state(batch: openai.types.Batch) -> BatchState:
    counts = batch.request_counts
    faults = (batch.errors.data or []) if batch.errors else []
    return BatchState(
        batch_id=batch.id,
        status=batch.status,
        done=counts.completed if counts else 0,
        failed=counts.failed if counts else 0,
        total=counts.total if counts else 0,
        created_at=batch.created_at,
        output_file=batch.output_file_id,
        error_file=batch.error_file_id,
        faults=tuple(BatchFault(f.code or "unknown", f.message or "", f.line) for f in faults),
    )
