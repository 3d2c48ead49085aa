"""The embedded teacher: rules instead of a model, so that everything runs without network or key."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from kpray.ledger.limits import ServerLimits
from kpray.pose import PoseCode, scenes_codes
from kpray.prompts import KINDS
from kpray.schemas import Reply, Request, Scene
from kpray.teachers.geometric.compose import compose_from_codes
from kpray.teachers.geometric.wording import version

_SCENES_KEPT: Final = 4096
"""Scenes whose codes are at hand: those of the shards that a worker has open."""


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
    server_limits: ServerLimits | None = None

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._codes: dict[Scene, tuple[PoseCode, ...]] = {}

    async def preflight(self) -> None:
        """Nothing can be missing."""

    def prepare(self, scenes: Sequence[Scene]) -> None:
        """Compute the pose codes of many scenes at once, which is several times as fast as one by one."""
        self._codes.update(zip(scenes, scenes_codes(scenes), strict=True))
        while len(self._codes) > max(_SCENES_KEPT, len(scenes)):
            del self._codes[next(iter(self._codes))]  # the oldest

    async def ask(self, request: Request) -> Reply:
        """Write the reply.

        Raises:
            ValueError: The request has no scene, or is for no sample.
        """
        if request.scene is None:
            raise ValueError(f"expected Request.scene for the geometric teacher, found None ({request.scene_id})")
        started = time.perf_counter()
        kind = request.sample_kind
        answers = compose_from_codes(kind, request.scene, self._codes_of(request.scene), seed=self._seed)
        text = KINDS[kind].write(answers, structured=request.response_schema is not None)
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

    def _codes_of(self, scene: Scene) -> tuple[PoseCode, ...]:
        if scene not in self._codes:
            self.prepare([scene])
        return self._codes[scene]

    async def aclose(self) -> None:
        """Nothing is open."""
