"""What can go wrong, as a tree.

::

    KprayError                  every error kpray raises on purpose; the CLI prints it without a traceback
    ├── ConfigError             a configuration key, value or combination
    ├── InputError              an annotation file, image folder or dataset that cannot be used
    ├── StorageError            a path that cannot be read or written
    └── TeacherError            a teacher that cannot be asked
        ├── TeacherUnavailableError  this request failed for now; asking again later may help
        └── TeacherStoppedError      no request can succeed (bad key, no quota): the run must stop

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


class TeacherUnavailableError(TeacherError):
    """One request failed after its retries; nothing was answered and nothing is recorded."""


class TeacherStoppedError(TeacherError):
    """No request of this run can succeed until a person mends something."""
