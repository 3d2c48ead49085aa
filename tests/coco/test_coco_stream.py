from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kpray.coco.stream import read_arrays
from kpray.errors import InputError, StorageError

TEXT = st.text(alphabet='ab"\\/{}[],: \n\té☃😀', max_size=8)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.floats(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ELEMENTS = st.lists(st.dictionaries(TEXT, VALUE, max_size=4), max_size=5)
MEMBERS = st.dictionaries(st.sampled_from(["info", "licenses", "x", "v"]), VALUE, max_size=3)
DOCUMENT = st.builds(
    lambda arrays, others: arrays | others,
    st.dictionaries(st.sampled_from(["images", "annotations", "categories"]), ELEMENTS),
    MEMBERS,
).flatmap(lambda members: st.permutations(list(members.items())).map(dict))
WANTED = {"images": dict[str, Any], "annotations": dict[str, Any]}


def read_all(path: Path, chunk_bytes: int = 1 << 22) -> dict[str, list[Any]]:
    found = defaultdict(list)
    for name, rows in read_arrays(str(path), WANTED, chunk_bytes):
        found[name] += rows
    return dict(found)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "annotations.json"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=DOCUMENT, chunk_bytes=st.integers(1, 40), indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_reads_what_json_reads_at_any_chunk_size(
    file: Path, document: dict[str, Any], chunk_bytes: int, indent: int | None, ascii_only: bool
) -> None:
    file.write_text(json.dumps(document, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    assert read_all(file, chunk_bytes) == {name: document[name] for name in WANTED if name in document}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=DOCUMENT, chunk_bytes=st.integers(1, 40), data=st.data())
def test_any_truncated_file_is_an_input_error(
    file: Path, document: dict[str, Any], chunk_bytes: int, data: st.DataObject
) -> None:
    text = json.dumps(document).encode()
    file.write_bytes(text[: data.draw(st.integers(0, len(text) - 1))])
    with pytest.raises(InputError):
        read_all(file, chunk_bytes)


def test_elements_longer_than_a_chunk_and_escaped_quotes_at_its_edge(file: Path) -> None:
    images = [{"name": '\\"}' * 50, "id": i} for i in range(3)]
    file.write_text(json.dumps({"images": images}))
    for chunk_bytes in range(1, 70):
        assert read_all(file, chunk_bytes) == {"images": images}


def test_gzip(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json.gz"
    packed = gzip.compress(json.dumps({"images": [{"id": i} for i in range(500)]}).encode())
    path.write_bytes(packed)
    assert len(read_all(path, 100)["images"]) == 500
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match="truncated or damaged gzip"):
        read_all(path)
    path.write_bytes(b'{"images": []}')
    with pytest.raises(InputError, match="not a gzip file"):
        read_all(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty or truncated"),
        ("[]", "expected '{'"),
        ("<html>", "expected '{'"),
        ('{"images": [{"id": 1} {"id": 2}]}', "malformed|comma"),
        ('{"images": [{"id": 1},]}', "separated by commas"),
        ('{"images": [1, 2]}', "JSON objects"),
        ('{"images": [{"id": 1}]', "truncated"),
        ('{"images": [{"id": 1}', "truncated: .* inside `images`"),
        ('{"images": []} and more', "text after the end"),
        ('{"images": [{"id": 8}, {"id": 9, "width": NaN}]}', "`images` with id 9 .*no NaN"),
        ('{"annotations": [{"id": "x7", "bbox": [Infinity]}]}', 'id "x7"'),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [3, 1 << 20])
def test_malformed_files_say_what_is_wrong(file: Path, text: str, message: str, chunk_bytes: int) -> None:
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_all(file, chunk_bytes)
    assert str(file) in str(caught.value)


def test_a_wrong_type_names_the_element(file: Path) -> None:
    class Row(msgspec.Struct):
        id: int
        width: int

    file.write_text('{"images": [{"id": 1, "width": 2}, {"id": 5, "width": "wide"}]}')
    with pytest.raises(InputError, match="id 5 cannot be read: Expected `int`, got `str`"):
        list(read_arrays(str(file), {"images": Row}))


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere\.json"):
        list(read_arrays(str(tmp_path / "nowhere.json"), WANTED))
