"""Files on a local path or on anything pyarrow reaches (``s3://``, ``gs://``), written atomically."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.fs as pafs

from kpray.errors import StorageError


def resolve(path: str) -> tuple[Any, str]:
    """The file system a path lives on and the path inside it.

    Args:
        path: A local path (relative or absolute) or a URI.

    Returns:
        A `pyarrow.fs.FileSystem` and the path to give it.

    Raises:
        StorageError: The scheme is not known or its file system cannot be set up.
    """
    if "://" not in path:
        return pafs.LocalFileSystem(), str(Path(path).expanduser().absolute())
    try:
        fs, inner = pafs.FileSystem.from_uri(path)
    except (pa.ArrowException, OSError) as error:
        raise StorageError(
            f"cannot reach {without_keys(path)}: {error}. Expected a local path, s3:// or gs://."
        ) from error
    return fs, inner


def without_keys(address: str) -> str:
    """An address as it may be shown: without the keys that an object store's may carry.

    >>> without_keys("s3://name:secret@bucket/runs?region=us-east-1")
    's3://bucket/runs?region=us-east-1'
    """
    return re.sub(r"(?<=://)[^/]*@", "", address)


def join(base: str, *parts: str) -> str:
    """Join path segments below a local path or URI (a URI's ``?query`` stays at the end)."""
    head, mark, query = base.partition("?") if "://" in base else (base, "", "")
    return "/".join([head.rstrip("/"), *parts]) + mark + query


def exists(path: str) -> bool:
    """Whether a file or folder is there.

    Raises:
        StorageError: Its file system cannot be asked.
    """
    fs, inner = resolve(path)
    try:
        return bool(fs.get_file_info(inner).type != pafs.FileType.NotFound)
    except OSError as error:
        raise StorageError(f"cannot reach {without_keys(path)}: {error}. Check the address and the keys.") from error


def list_files(folder: str) -> list[str]:
    """Paths of all files below a folder (recursive, sorted), relative to it; empty if it is not there."""
    fs, inner = resolve(folder)
    infos = fs.get_file_info(pafs.FileSelector(inner, recursive=True, allow_not_found=True))
    return sorted(os.path.relpath(i.path, inner) for i in infos if i.type == pafs.FileType.File)


def make_folder(path: str) -> None:
    """Make a folder and its parents; on object stores this does nothing that matters."""
    fs, inner = resolve(path)
    try:
        fs.create_dir(inner, recursive=True)
    except OSError as error:
        raise StorageError(
            f"cannot write to {without_keys(path)}: {error}. Choose a folder you may write to."
        ) from error


def delete(path: str) -> None:
    """Delete a file or a folder with all it holds; nothing happens if it is not there."""
    fs, inner = resolve(path)
    kind = fs.get_file_info(inner).type
    if kind == pafs.FileType.Directory:
        fs.delete_dir(inner)
    elif kind == pafs.FileType.File:
        fs.delete_file(inner)


@contextmanager
def open_raw(path: str) -> Iterator[IO[bytes]]:
    """Open a file for reading its bytes as they are stored.

    Raises:
        StorageError: It is not there or cannot be opened.
    """
    fs, inner = resolve(path)
    try:
        stream = fs.open_input_stream(inner, compression=None, buffer_size=1 << 20)
    except FileNotFoundError as error:
        raise StorageError(f"there is no file {without_keys(path)}") from error
    except OSError as error:
        raise StorageError(f"cannot read {without_keys(path)}: {error}") from error
    with stream:
        yield cast(IO[bytes], stream)


@contextmanager
def open_input(path: str) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes; ``.gz`` is decompressed on the way.

    Raises:
        StorageError: It is not there or cannot be opened.
    """
    with open_raw(path) as raw:
        if path.partition("?")[0].endswith(".gz"):
            with gzip.GzipFile(fileobj=raw) as unzipped:
                yield cast(IO[bytes], unzipped)
        else:
            yield raw


def read_bytes(path: str) -> bytes:
    """A whole file, decompressed if it ends in ``.gz``."""
    with open_input(path) as stream:
        return stream.read()


@contextmanager
def open_atomic(path: str, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Open a file for writing that appears under its name only when complete.

    On a local or shared file system the bytes go to a neighbour that is flushed to disk and renamed. For an
    object store they go to a temporary file first, so that a body that raises uploads nothing.

    Args:
        path: Where to.
        durable: Whether the file must survive a power cut; scratch files need not.

    Raises:
        StorageError: It cannot be written.
    """
    fs, inner = resolve(path)
    if not isinstance(fs, pafs.LocalFileSystem):
        with tempfile.TemporaryFile() as buffer:
            yield cast(IO[bytes], buffer)
            buffer.seek(0)
            with fs.open_output_stream(inner, compression=None) as stream:
                shutil.copyfileobj(buffer, stream, 1 << 22)
        return
    aside = f"{inner}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        Path(inner).parent.mkdir(parents=True, exist_ok=True)
        with Path(aside).open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(aside).replace(inner)
    except OSError as error:
        raise StorageError(f"cannot write {without_keys(path)}: {error}") from error
    finally:
        with contextlib.suppress(OSError):  # what made writing fail is the error to tell
            Path(aside).unlink(missing_ok=True)


def write_bytes(path: str, data: bytes) -> None:
    """Write a whole file atomically."""
    with open_atomic(path) as stream:
        stream.write(data)
