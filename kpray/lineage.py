"""Where a result comes from: fingerprints of inputs and what software made it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any, Final

import msgspec

from kpray import __version__, storage

_RECORDED_PACKAGES: Final = ("ray", "pyarrow", "numpy", "msgspec", "openai", "pillow")


def fingerprint_file(path: str) -> str:
    """Hash of a file's bytes as stored (32 hex digits), the same wherever the file lies.

    Raises:
        StorageError: It cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    with storage.open_raw(path) as stream:
        while chunk := stream.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def fingerprint_value(value: Any) -> str:
    """Hash of any value msgspec can encode (16 hex digits); the order of dictionary keys does not matter."""
    encoded = msgspec.json.encode(value, order="deterministic")
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()


def software() -> dict[str, str]:
    """Versions of what computes a run, and the git commit where there is one."""
    versions = {"kpray": __version__, "python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in _RECORDED_PACKAGES}
    commit = _git_commit()
    return versions | ({"git_commit": commit} if commit else {})


def _git_commit() -> str | None:
    package_folder = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=package_folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
