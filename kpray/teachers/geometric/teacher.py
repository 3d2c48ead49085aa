"""The embedded teacher: rules instead of a model, so that everything runs without network or key."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime

from kpray.pose import scene_codes
from kpray.prompts import KINDS
from kpray.schemas import Reply, Request
from kpray.teachers.geometric.compose import compose_from_codes
from kpray.teachers.geometric.wording import version


class GeometricTeacher:
    """Writes from captions and pose codes by rule; deterministic, free of charge, and no language model.

    Attributes:
        name: Its name in a configuration.
        model: Ends in a hash of its rules and wording.
        reads_scene: It answers from ``Request.scene``; the messages are not read.
    """

    name = "geometric"
    model = f"geometric/{version()}"
    reads_scene = True

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        # A scene's three kinds come one after the other and share its codes.
        self._codes = functools.lru_cache(maxsize=64)(scene_codes)

    async def preflight(self) -> None:
        """Nothing can be missing."""

    async def ask(self, request: Request) -> Reply:
        """Write the reply.

        Raises:
            ValueError: The request has no scene.
        """
        if request.scene is None:
            raise ValueError(f"expected Request.scene for the geometric teacher, found None ({request.scene_id})")
        started = time.perf_counter()
        answers = compose_from_codes(request.kind, request.scene, self._codes(request.scene), seed=self._seed)
        text = KINDS[request.kind].write(answers, structured=request.response_schema is not None)
        return Reply(
            request_id=request.request_id,
            text=text,
            finish_reason="stop",
            usage=None,
            usd=0.0,
            latency_s=time.perf_counter() - started,
            model=self.model,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    async def aclose(self) -> None:
        """Nothing is open."""
