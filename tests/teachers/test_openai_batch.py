"""An account's files and batches, over HTTP."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator

import pytest
from openai_batches import KEY, BatchServer

from kpray.config import TeacherConfig
from kpray.errors import TeacherBusyError, TeacherStoppedError
from kpray.teachers.openai import Secret
from kpray.teachers.openai_batch import KEY_MARK, BatchAccount, BatchState, NotTakenError

LINE = (
    b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", '
    b'"body": {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello."}]}}\n'
)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[BatchServer]:
    with BatchServer() as running:
        yield running


@pytest.fixture
def server(shared_server: BatchServer) -> BatchServer:
    shared_server.reset()
    return shared_server


@pytest.fixture
def account(server: BatchServer) -> Iterator[BatchAccount]:
    yield from opened(server.base_url)


def opened(base_url: str, key: str = KEY) -> Iterator[BatchAccount]:
    account = BatchAccount(TeacherConfig(name="openai", base_url=base_url), Secret(key))
    yield account
    account.close()


def ended(account: BatchAccount, batch_id: str) -> BatchState:
    deadline = time.monotonic() + 30
    while not (state := account.look(batch_id)).is_final:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return state


def test_a_file_becomes_a_batch_with_results(account: BatchAccount) -> None:
    file_id = account.upload("kpray-a.jsonl", io.BytesIO(LINE))
    state = ended(account, account.create(file_id, {KEY_MARK: "k"}).batch_id)
    assert (state.status, state.done, state.total) == ("completed", 1, 1)
    assert state.output_file is not None
    into = io.BytesIO(b"what was there before, and is longer than what comes" * 100)
    account.download(state.output_file, into)
    assert into.getvalue().count(b"\n") == 1
    assert b'"custom_id": "a"' in into.getvalue()


def test_files_and_batches_are_found_on_later_pages(account: BatchAccount) -> None:
    files = [account.upload(f"kpray-{i}.jsonl", io.BytesIO(LINE)) for i in range(8)]
    batches = [account.create(file, {KEY_MARK: f"key-{i}"}).batch_id for i, file in enumerate(files)]
    assert account.find_upload("kpray-0.jsonl", len(LINE)) == files[0]
    assert account.find_upload("kpray-0.jsonl", len(LINE) + 1) is None
    assert account.find_upload("kpray-9.jsonl", len(LINE)) is None
    found = account.find_batch("key-0")
    assert found is not None
    assert found.batch_id == batches[0]
    assert account.find_batch("key-9") is None


def test_a_batch_without_metadata_is_nobody_we_look_for(server: BatchServer, account: BatchAccount) -> None:
    file_id = account.upload("other.jsonl", io.BytesIO(LINE))
    body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    server.post("/v1/batches", body)
    assert account.find_batch("key") is None


def test_a_wrong_key_stops(server: BatchServer) -> None:
    for account in opened(server.base_url, key="sk-wrong"):
        with pytest.raises(TeacherStoppedError, match=r"Incorrect API key.*OPENAI_API_KEY"):
            account.upload("a.jsonl", io.BytesIO(LINE))


def test_an_empty_account_stops(server: BatchServer, account: BatchAccount) -> None:
    server.set(faults=[{"path": "/v1/files", "method": "POST", "status": 429, "code": "insufficient_quota"}])
    with pytest.raises(TeacherStoppedError, match="no money left"):
        account.upload("a.jsonl", io.BytesIO(LINE))


def test_a_busy_server_says_how_long_to_wait(server: BatchServer, account: BatchAccount) -> None:
    server.set(faults=[{"path": "/v1/batches", "method": "POST", "status": 429, "retry_after": 7}])
    with pytest.raises(TeacherBusyError) as caught:
        account.create("file-1", {})
    assert caught.value.retry_after_s == 7
    assert caught.value.overloaded


@pytest.mark.parametrize("status", [408, 409, 500, 503])
def test_what_may_pass_is_no_end(server: BatchServer, account: BatchAccount, status: int) -> None:
    server.set(faults=[{"path": "/v1/batches", "method": "GET", "status": status}])
    with pytest.raises(TeacherBusyError):
        account.find_batch("key")


def test_what_the_server_will_not_do(account: BatchAccount) -> None:
    with pytest.raises(NotTakenError, match="No such File object") as caught:
        account.create("file-of-nobody", {})
    assert (caught.value.status, caught.value.code) == (400, "invalid_value")
    with pytest.raises(NotTakenError, match="No batch found"):
        account.look("batch-of-nobody")


def test_a_server_that_is_not_there() -> None:
    for account in opened("http://127.0.0.1:9/v1"):
        with pytest.raises(TeacherBusyError, match="cannot reach http://127.0.0.1:9/v1"):
            account.look("batch-1")


def test_a_download_that_ends_early_is_noticed(server: BatchServer, account: BatchAccount) -> None:
    file_id = account.upload("a.jsonl", io.BytesIO(LINE * 100))
    server.set(cut_downloads=1)
    into = io.BytesIO()
    with pytest.raises(TeacherBusyError, match="broke during a download"):
        account.download(file_id, into)
    account.download(file_id, into)
    assert into.getvalue() == LINE * 100
