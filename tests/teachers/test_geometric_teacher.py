from __future__ import annotations

import asyncio
import datetime

import pytest
from geometric_scenes import scene

from kpray.prompts import KINDS
from kpray.schemas import KIND_NAMES, KindName, Reply, Request, Sampling
from kpray.teachers.geometric import GeometricTeacher, compose


def request(kind: KindName, *, structured: bool = False, with_scene: bool = True) -> Request:
    return Request(
        kind=kind,
        scene_id="7",
        messages=(),
        model=GeometricTeacher.model,
        sampling=Sampling(),
        response_schema={"type": "object"} if structured else None,
        scene=scene(2, ["Two people playing frisbee in a park"]) if with_scene else None,
    )


async def ask(asked: Request) -> Reply:
    teacher = GeometricTeacher(seed=3)
    await teacher.preflight()
    reply = await teacher.ask(asked)
    await teacher.aclose()
    return reply


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize("kind", KIND_NAMES)
def test_its_reply_reads_back_as_what_was_composed(kind: KindName, structured: bool) -> None:
    asked = request(kind, structured=structured)
    reply = asyncio.run(ask(asked))
    assert asked.scene is not None
    composed = compose(kind, asked.scene, seed=3)
    assert reply.text == KINDS[kind].write(composed, structured=structured)
    assert (reply.request_id, reply.finish_reason, reply.usage, reply.usd) == (asked.request_id, "stop", None, 0.0)
    assert reply.latency_s > 0
    assert datetime.datetime.fromisoformat(reply.created_at).utcoffset() == datetime.timedelta(0)


def test_it_needs_the_scene() -> None:
    with pytest.raises(ValueError, match=r"expected Request\.scene"):
        asyncio.run(ask(request("detailed", with_scene=False)))


def test_the_model_name_carries_the_wordings_hash() -> None:
    assert GeometricTeacher.model.startswith("geometric/")
    assert len(GeometricTeacher.model) == len("geometric/") + 8
