from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from kpray import storage
from kpray.errors import StorageError


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder to write to, on each kind of storage."""
    if request.param == "local":
        return str(tmp_path / "runs")
    url: str = request.getfixturevalue("s3_url")
    return storage.join(url, tmp_path.name)


def test_bytes_come_back(folder: str) -> None:
    path = storage.join(folder, "deep", "file.bin")
    assert not storage.exists(path)
    storage.write_bytes(path, b"\x00one")
    storage.write_bytes(path, b"two")
    assert storage.exists(path)
    assert storage.read_bytes(path) == b"two"


def test_gz_is_decompressed_on_reading(folder: str) -> None:
    path = storage.join(folder, "file.json.gz")
    storage.write_bytes(path, gzip.compress(b'{"a": 1}'))
    assert storage.read_bytes(path) == b'{"a": 1}'


def test_files_are_listed_relative_and_deleted_with_their_folder(folder: str) -> None:
    for name in ("b/2.txt", "a.txt", "b/1.txt"):
        storage.write_bytes(storage.join(folder, name), b"x")
    assert storage.list_files(folder) == ["a.txt", "b/1.txt", "b/2.txt"]
    storage.delete(storage.join(folder, "b"))
    storage.delete(storage.join(folder, "a.txt"))
    storage.delete(storage.join(folder, "never-there"))
    assert storage.list_files(folder) == []


def test_a_failed_write_leaves_what_was_there(folder: str) -> None:
    path = storage.join(folder, "file.txt")
    storage.write_bytes(path, b"before")
    with pytest.raises(ZeroDivisionError), storage.open_atomic(path) as stream:  # noqa: PT012
        stream.write(b"half")
        _ = 1 / 0
    assert storage.read_bytes(path) == b"before"
    assert storage.list_files(folder) == ["file.txt"]


def test_nothing_is_listed_in_a_folder_that_is_not_there(folder: str) -> None:
    assert storage.list_files(storage.join(folder, "nowhere")) == []


def test_a_missing_file_is_named(folder: str) -> None:
    path = storage.join(folder, "missing.json")
    with pytest.raises(StorageError, match=r"there is no file .*missing\.json"):
        storage.read_bytes(path)


def test_an_unknown_scheme_says_what_is_known() -> None:
    with pytest.raises(StorageError, match="local path, s3:// or gs://"):
        storage.read_bytes("ftp://host/file")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="Choose a folder you may write to"):
        storage.make_folder(str(tmp_path / "file" / "run"))


def test_join_keeps_a_query_at_the_end() -> None:
    assert storage.join("s3://b/run?region=x", "a", "b.json") == "s3://b/run/a/b.json?region=x"
    assert storage.join("/odd?name", "a") == "/odd?name/a"


def test_a_store_that_does_not_answer_is_an_error_without_its_keys() -> None:
    address = "s3://name:secret@bucket/runs?region=us-east-1&endpoint_override=127.0.0.1:9&scheme=http"
    with pytest.raises(StorageError, match="cannot reach s3://bucket/runs") as error:
        storage.exists(address)
    assert "secret" not in str(error.value)
