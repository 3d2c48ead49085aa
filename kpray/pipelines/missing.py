"""Which requests of a shard have no reply yet; the set difference that resuming is made of."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import msgspec

from kpray.coco.images import ImageFolder
from kpray.ledger.journal import SceneRange
from kpray.pipelines.checking import judge_all, repairs
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.rendering import render
from kpray.pipelines.samples import Asked
from kpray.pipelines.shards import ShardFiles
from kpray.schemas import Request, Scene


def missing_requests(
    files: ShardFiles, recipe: Recipe, shard: int, *, images: str | None, again: bool = False
) -> tuple[SceneRange, list[Request]]:
    """The requests of one shard that the ledger cannot answer, each once, and the shard's place in the ledger.

    Args:
        files: Of the run; its ledger is read.
        recipe: What scenes become.
        shard: Its number.
        images: Folder in which a scene's image must exist for it to be asked about, or None.
        again: Whether also to ask again for replies that have a fault.
    """
    scenes = files.read_scenes(shard)
    scene_range = SceneRange.of(scene.scene_id for scene in scenes)
    replies = files.known(scene_range).replies
    rendered = list(render(scenes, recipe, _listed(images)))
    requests = {each.request.request_id: each.request for each in rendered}
    if again:
        asked = [msgspec.structs.replace(Asked.of(r), reply=replies.get(r.request.request_id)) for r in rendered]
        faulty = repairs(asked, judge_all(asked, scenes, recipe), scenes, recipe)
        requests |= {request.request_id: request for request in faulty.values()}
    return scene_range, [request for request_id, request in requests.items() if request_id not in replies]


def all_requests(scenes: list[Scene], recipe: Recipe, *, images: str | None) -> Iterator[Request]:
    """The first requests about some scenes, in order; scenes without their image are passed over."""
    return (rendered.request for rendered in render(scenes, recipe, _listed(images)))


@functools.lru_cache(maxsize=4)
def _listed(images: str | None) -> ImageFolder:
    """Listed once, not for every shard; a run's images do not change while it runs."""
    return ImageFolder(images)
