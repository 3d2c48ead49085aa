"""The judge's address over real HTTP in a thread of the test, and bodies to send there."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent / "judges"))

import httpx
from gateway_server import KEY, serving

from kpray.judges.types import Judge, Judgement
from kpray.scoring.types import JudgeItem
from kpray.serving.access import Keys
from kpray.serving.config import JudgeAppConfig
from kpray.serving.judging.address import build_address

KEYPOINTS = [
    *(320, 96, 2, 329.6, 86.4, 2, 310.4, 86.4, 2, 339.2, 92.8, 2, 300.8, 92.8, 2, 364.8, 160, 2, 275.2, 160, 2),
    *(384, 243.2, 2, 256, 243.2, 2, 390.4, 320, 2, 249.6, 320, 2, 348.8, 332.8, 2, 291.2, 332.8, 2),
    *(348.8, 448, 2, 291.2, 448, 2, 348.8, 563.2, 2, 291.2, 563.2, 2),
]
"""A person who stands facing the camera, arms down, in a picture of 640 x 640."""

CONTEXT: dict[str, Any] = {
    "form": "coco",
    "width": 640,
    "height": 640,
    "image_id": 7,
    "captions": ["A man stands on a field."],
    "annotations": [
        {"category": "person", "bbox": [230, 51, 180, 544], "keypoints": KEYPOINTS, "id": 1},
        {"category": "sports ball", "bbox": [448, 544, 38, 38], "id": 2},
    ],
}


class LocalBench:
    """A `Bench` that is a judge in a thread of its own, as it is in a process of its own otherwise."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.ready = True
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    async def judgements(self, items: Sequence[JudgeItem], *, within_s: float | None = None) -> list[Judgement]:
        work = self.judge.judgements(items, within_s=within_s)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def check_health(self) -> None:
        if not self.ready:
            raise RuntimeError("secret-reason")

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.judge.aclose(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


def item(i: int = 0, *, mode: str = "pairwise", **fields: Any) -> dict[str, Any]:
    """A good item."""
    answers = [
        {"model": "tuned", "text": f"The man stands with both arms hanging down ({i})."},
        {"model": "base", "text": f"A man sits and kicks ball {i}."},
    ]
    shown = answers if mode == "pairwise" else answers[:1]
    good = {"id": f"q{i}", "question": "What is the man doing?", "context": CONTEXT, "answers": shown, "mode": mode}
    if mode == "reference":
        good["reference"] = "The man stands on the field and lets both arms hang down."
    return good | fields


@contextlib.contextmanager
def address(bench: LocalBench, config: JudgeAppConfig | None = None) -> Iterator[httpx.Client]:
    """A client with the key of a judge's address."""
    app = build_address(bench, config or JudgeAppConfig(), keys=Keys((KEY,)))
    headers = {"authorization": f"Bearer {KEY}"}
    try:
        with (
            serving(app) as port,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client,
        ):
            yield client
    finally:
        bench.close()
