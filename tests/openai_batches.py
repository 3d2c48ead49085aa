"""A local server with OpenAI's files and batches, in a process of its own; it counts what it processes.

    python tests/openai_batches.py --port 8124

Routes: ``/v1/files``, ``/v1/batches`` and ``/v1/models`` as OpenAI has them (bearer key ``sk-test``), and for tests
``/settings`` (see `Settings`), ``/reset`` and ``/stats``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from typing import Any

from aiohttp import web
from server_process import ServerProcess

KEY = "sk-test"

ANSWERS: dict[str, Any] = {
    "conversation": {"turns": [{"question": "How many people are there?", "answer": "There is one person."}]},
    "detailed": {"description": "One person stands upright in the open.\u2028Both arms hang down beside the body."},
    "reasoning": {"question": "What might help with balance?", "answer": "Feet a little apart give a wider base."},
}
"""By kind of request; one holds a line separator, which is no line end in JSON Lines."""

OPEN = ("validating", "in_progress", "finalizing", "cancelling")


class Settings:
    """What the server does besides answering; every `times` counts down.

    Attributes:
        line_s: Time that one line takes.
        stall_from: Batches with this number or a higher one stay in progress after their last line.
        stop_after: ``{"lines": K, "status": "expired" | "cancelled", "times": n}``: a batch ends early.
        failing: ``{"code": ..., "message": ..., "times": n}``: a batch does not pass validation.
        line_faults: ``[{"match": text in the line, "status": 500, "code": ..., "times": n}]``.
        max_enqueued_tokens: Over all open batches; one that goes beyond fails.
        shuffle: Whether results come in another order.
        repeat: Whether every result comes twice.
        strays: Results with ids that nobody sent.
        garbage: Lines of results that are no JSON.
        drop_creates: So many batches are created without an answer to the call.
        drop_uploads: Likewise for files.
        cut_downloads: So many downloads end in the middle.
        faults: ``[{"path": "/v1/batches", "method": "POST", "status": 500, "retry_after": 1, "times": n}]``.
        lose_results: Whether the files of results are deleted as soon as they are there.
        page: The most items on a page of a list.
    """

    line_s = 0.0
    stall_from: int | None = None
    stop_after: dict[str, Any] | None = None
    failing: dict[str, Any] | None = None
    line_faults: tuple[dict[str, Any], ...] = ()
    max_enqueued_tokens: int | None = None
    shuffle = False
    repeat = False
    strays = 0
    garbage = 0
    drop_creates = 0
    drop_uploads = 0
    cut_downloads = 0
    faults: tuple[dict[str, Any], ...] = ()
    lose_results = False
    page = 3

    def __init__(self, **values: Any) -> None:
        unknown = [name for name in values if not hasattr(Settings, name)]
        if unknown:
            raise ValueError(f"unknown settings {unknown}")
        self.__dict__.update(values)


class BatchApi:
    """Files and batches of one account."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.processed: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.create_times: list[float] = []
        self.peak_open = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 28, middlewares=[self.guarded])
        app.add_routes(
            [
                web.get("/v1/models", self.models),
                web.post("/v1/files", self.upload),
                web.get("/v1/files", self.list_files),
                web.get("/v1/files/{id}/content", self.content),
                web.post("/v1/batches", self.create),
                web.get("/v1/batches", self.list_batches),
                web.get("/v1/batches/{id}", self.retrieve),
                web.post("/v1/batches/{id}/cancel", self.cancel),
                web.post("/settings", self.set_settings),
                web.post("/reset", self.reset),
                web.get("/stats", self.stats),
            ]
        )
        return app

    @web.middleware
    async def guarded(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/v1/"):
            self.counts[f"{request.method} {request.path.split('/')[2]}"] += 1
            if request.headers.get("Authorization") != f"Bearer {KEY}":
                return error(401, "Incorrect API key provided.", "invalid_api_key")
            if request.path == "/v1/batches" and request.method == "POST":
                self.create_times.append(time.time())
            for fault in self.settings.faults:
                if request.path.startswith(fault["path"]) and request.method == fault["method"] and take(fault):
                    headers = {"Retry-After": str(fault["retry_after"])} if "retry_after" in fault else {}
                    return error(fault["status"], fault.get("message", "fault"), fault.get("code"), headers)
        response: web.StreamResponse = await handler(request)
        return response

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "gpt-4o", "object": "model"}]})

    async def upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        assert form["purpose"] == "batch"
        entry = self._keep(file.filename, file.file.read(), "batch")
        self.counts["uploads"] += 1
        if self.settings.drop_uploads:
            self.settings.drop_uploads -= 1
            hang_up(request)
        return web.json_response(entry)

    def _keep(self, name: str, data: bytes, purpose: str) -> dict[str, Any]:
        file_id = f"file-{len(self.contents):06}"
        self.contents[file_id] = data
        self.files[file_id] = {
            "id": file_id,
            "object": "file",
            "bytes": len(data),
            "created_at": int(time.time()),
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }
        return self.files[file_id]

    async def list_files(self, request: web.Request) -> web.Response:
        purpose = request.query.get("purpose")
        return self._page(request, [f for f in self.files.values() if purpose in (None, f["purpose"])])

    async def list_batches(self, request: web.Request) -> web.Response:
        return self._page(request, list(self.batches.values()))

    def _page(self, request: web.Request, items: list[dict[str, Any]]) -> web.Response:
        newest_first = items[::-1]
        if after := request.query.get("after"):
            ids = [item["id"] for item in newest_first]
            newest_first = newest_first[ids.index(after) + 1 :]
        data = newest_first[: min(self.settings.page, int(request.query.get("limit", 20)))]
        has_more = len(newest_first) > len(data)
        return web.json_response({"object": "list", "data": data, "has_more": has_more})

    async def content(self, request: web.Request) -> web.StreamResponse:
        data = self.contents.get(request.match_info["id"])
        if request.match_info["id"] not in self.files or data is None:
            return error(404, "No such File object", None)
        if self.settings.cut_downloads:
            self.settings.cut_downloads -= 1
            response = web.StreamResponse(headers={"Content-Length": str(len(data))})
            await response.prepare(request)
            await response.write(data[: len(data) // 2])
            hang_up(request)
            return response
        return web.Response(body=data)

    async def create(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["input_file_id"] not in self.files:
            return error(400, "No such File object", "invalid_value")
        batch_id = f"batch-{len(self.batches):06}"
        batch = {
            "id": batch_id,
            "object": "batch",
            "endpoint": body["endpoint"],
            "completion_window": body["completion_window"],
            "input_file_id": body["input_file_id"],
            "metadata": body.get("metadata"),
            "created_at": int(time.time()),
            "status": "validating",
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
        }
        self.batches[batch_id] = batch
        self.counts["batches"] += 1
        self.peak_open = max(self.peak_open, sum(b["status"] in OPEN for b in self.batches.values()))
        task = asyncio.create_task(self._process(batch))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        if self.settings.drop_creates:
            self.settings.drop_creates -= 1
            hang_up(request)
        return web.json_response(batch)

    async def retrieve(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        return web.json_response(batch) if batch else error(404, "No batch found", None)

    async def cancel(self, request: web.Request) -> web.Response:
        batch = self.batches[request.match_info["id"]]
        batch["status"] = "cancelling"
        return web.json_response(batch)

    async def _process(self, batch: dict[str, Any]) -> None:
        lines = [json.loads(line) for line in self.contents[batch["input_file_id"]].splitlines()]
        batch["tokens"] = sum(tokens_of(line["body"]) for line in lines)
        fault = self._validation_fault(batch)
        await asyncio.sleep(self.settings.line_s)
        if fault:
            batch["status"] = "failed"
            batch["errors"] = {"object": "list", "data": [{"line": None, "param": None, **fault}]}
            return
        batch["status"] = "in_progress"
        batch["request_counts"]["total"] = len(lines)
        status = await self._answer_all(batch, lines)
        while self._stalls(batch):
            await asyncio.sleep(0.02)
        batch["status"] = status

    def _stalls(self, batch: dict[str, Any]) -> bool:
        number = self.settings.stall_from
        return number is not None and int(batch["id"].rpartition("-")[2]) >= number

    def _validation_fault(self, batch: dict[str, Any]) -> dict[str, Any] | None:
        tokens = sum(b.get("tokens", 0) for b in self.batches.values() if b["status"] in OPEN)
        cap = self.settings.max_enqueued_tokens
        if cap is not None and tokens > cap:
            self.counts["refused"] += 1
            return {"code": "token_limit_exceeded", "message": f"Enqueued token limit reached. Limit: {cap}."}
        failing = self.settings.failing
        if failing and take(failing):
            return {"code": failing["code"], "message": failing["message"]}
        return None

    async def _answer_all(self, batch: dict[str, Any], lines: list[dict[str, Any]]) -> str:
        good: list[dict[str, Any]] = []
        bad: list[dict[str, Any]] = []
        stop = self.settings.stop_after
        stop = stop if stop and take(stop) else None
        status = "completed"
        for number, line in enumerate(lines):
            if stop and number >= stop["lines"]:
                status = stop["status"]
            elif batch["status"] == "cancelling":
                status = "cancelled"
            if status != "completed":
                bad.append(result(line, None, {"code": f"batch_{status}", "message": "not processed"}))
                continue
            await asyncio.sleep(self.settings.line_s)
            self.processed[line["custom_id"]] += 1
            response = self._answer(line)
            (good if response["status_code"] == 200 else bad).append(result(line, response, None))
            batch["request_counts"]["completed" if response["status_code"] == 200 else "failed"] += 1
        batch["output_file_id"] = self._keep_results(good, strays=True)
        batch["error_file_id"] = self._keep_results(bad, strays=False)
        return status

    def _answer(self, line: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(line)
        for fault in self.settings.line_faults:
            if fault.get("match", "") in text and take(fault):
                if "body" in fault:
                    return {"status_code": 200, "request_id": "r", "body": completion(line["body"], **fault["body"])}
                message = {"message": fault.get("message", "fault"), "code": fault.get("code"), "type": "x"}
                return {"status_code": fault["status"], "request_id": "r", "body": {"error": message}}
        return {"status_code": 200, "request_id": "r", "body": completion(line["body"])}

    def _keep_results(self, results: list[dict[str, Any]], *, strays: bool) -> str | None:
        if not results:
            return None
        if self.settings.repeat:
            results = results * 2
        if strays:
            results = results + [{**results[0], "custom_id": f"stray-{i}"} for i in range(self.settings.strays)]
        if self.settings.shuffle:
            random.Random(3).shuffle(results)
        garbage = b"{torn\n" * (self.settings.garbage if strays else 0)
        data = b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in results)
        file_id: str = self._keep("output.jsonl", garbage + data, "batch_output")["id"]
        if self.settings.lose_results:
            del self.files[file_id]
        return file_id

    async def reset(self, request: web.Request) -> web.Response:
        for task in self.tasks:
            task.cancel()
        self.__init__()  # type: ignore[misc]
        return web.json_response({})

    async def set_settings(self, request: web.Request) -> web.Response:
        self.settings = Settings(**await request.json())
        return web.json_response({})

    async def stats(self, request: web.Request) -> web.Response:
        statuses = Counter(batch["status"] for batch in self.batches.values())
        return web.json_response(
            {
                "uploads": self.counts["uploads"],
                "batches": self.counts["batches"],
                "refused": self.counts["refused"],
                "lines": self.processed.total(),
                "processed": self.processed,
                "statuses": statuses,
                "calls": self.counts,
                "create_times": self.create_times,
                "peak_open": self.peak_open,
                "metadata": [batch["metadata"] for batch in self.batches.values()],
                "sizes": [len(self.contents[b["input_file_id"]]) for b in self.batches.values()],
                "totals": [b["request_counts"]["total"] for b in self.batches.values()],
                "last_line": self._last_line(),
            }
        )

    def _last_line(self) -> Any:
        inputs = [self.contents[b["input_file_id"]] for b in self.batches.values()]
        return json.loads(inputs[-1].splitlines()[-1]) if inputs else None


class BatchServer(ServerProcess):
    """The server in a process of its own, for `with`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(__file__)
        self._settings = settings

    def ready(self) -> None:
        self.set(**self._settings)

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self.call("stats")
        return stats

    def reset(self) -> None:
        """Forget everything."""
        self.post("reset", {})

    def set(self, **settings: Any) -> None:
        """Replace all settings; see `Settings`."""
        self.post("settings", settings)

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        """Call the server as another program of the same account would."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}", **(headers or {})}
        return self.call(path.removeprefix("/"), body, headers)


def take(fault: dict[str, Any]) -> bool:
    """Whether a fault still happens; counts it."""
    fault["times"] = fault.get("times", 1) - 1
    return bool(fault["times"] >= 0)


def hang_up(request: web.Request) -> None:
    """Close the connection before the answer is on it."""
    if request.transport:
        request.transport.abort()


def result(line: dict[str, Any], response: Any, fault: Any) -> dict[str, Any]:
    return {"id": "batch_req", "custom_id": line["custom_id"], "response": response, "error": fault}


def tokens_of(body: dict[str, Any]) -> int:
    """A token is four characters here."""
    return sum(len(message["content"]) for message in body["messages"]) // 4


def completion(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A chat completion that depends on the request alone."""
    kind = body["response_format"]["json_schema"]["name"] if "response_format" in body else "detailed"
    text = json.dumps(ANSWERS[kind], ensure_ascii=False)
    message = {"role": "assistant", "content": text, "refusal": None} | changes.get("message", {})
    prompt, reply = tokens_of(body), len(message["content"] or "") // 4
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": f"{body['model']}-2024-08-06",
        "choices": [{"index": 0, "message": message, "finish_reason": changes.get("finish_reason", "stop")}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": reply,
            "total_tokens": prompt + reply,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def error(status: int, message: str, code: str | None, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return web.json_response(body, status=status, headers=headers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    web.run_app(BatchApi().app(), host="127.0.0.1", port=parser.parse_args().port, print=None)
