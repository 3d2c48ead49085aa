"""What can go wrong, as a tree.

::

    KprayError                  every error kpray raises on purpose; the CLI prints it without a traceback
    ├── ConfigError             a configuration key, value or combination
    ├── InputError              an annotation file, image folder or dataset that cannot be used
    ├── StorageError            a path that cannot be read or written
    ├── TrainingError           a training run that cannot go on (`kpray.training.stops`)
    └── TeacherError            a teacher that cannot be asked
        ├── TeacherBusyError         this attempt failed; the same request is worth another attempt soon
        ├── TeacherUnavailableError  this request failed for now; asking again later may help
        ├── TeacherStoppedError      no request can succeed (bad key, no quota): the run must stop
        └── BudgetSpentError         the next request could cost more than what is left to spend

Messages say what was expected, what was found and what to do next.
"""

from __future__ import annotations


class KprayError(Exception):
    """Base of all errors that kpray raises on purpose.

    Attributes:
        exit_code: What a command returns when it ends with this error.
    """

    exit_code = 1


class ConfigError(KprayError):
    """A configuration key, value or combination is wrong."""

    exit_code = 2


class InputError(KprayError):
    """An input file cannot be used as what it was given as."""

    exit_code = 2


class StorageError(KprayError):
    """A path cannot be read or written."""


class TeacherError(KprayError):
    """A teacher cannot be asked."""


class TeacherBusyError(TeacherError):
    """One attempt failed in a way that passes: no connection, a timeout, 408, 409, 429 or 5xx.

    Attributes:
        retry_after_s: How long the server asked everyone to wait; None where it did not say.
        overloaded: Whether the server has too much to do (429, 503), so that less should be sent at once.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None, overloaded: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.overloaded = overloaded


class TeacherUnavailableError(TeacherError):
    """One request failed after its retries; nothing was answered and nothing is recorded."""


class TeacherStoppedError(TeacherError):
    """No request of this run can succeed until a person mends something."""


class BudgetSpentError(TeacherError):
    """What is left of the budget does not cover the next request; nothing was sent."""
