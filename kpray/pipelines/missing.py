"""Which requests of a shard have no reply yet; the set difference that resuming is made of."""

from __future__ import annotations

from collections.abc import Iterator

from kpray.coco.images import ImageFolder
from kpray.ledger.journal import SceneRange
from kpray.pipelines.recipe import Recipe
from kpray.pipelines.shards import ShardFiles
from kpray.schemas import Request, Scene


def missing_requests(
    files: ShardFiles, recipe: Recipe, shard: int, *, images: str | None
) -> tuple[SceneRange, list[Request]]:
    """The requests of one shard that the ledger cannot answer, each once, and the shard's place in the ledger.

    Args:
        files: Of the run; its ledger is read.
        recipe: What scenes become.
        shard: Its number.
        images: Folder in which a scene's image must exist for it to be asked about, or None.
    """
    scenes = files.read_scenes(shard)
    scene_range = SceneRange.of(scene.scene_id for scene in scenes)
    replies = files.known(scene_range).replies
    requests = {r.request_id: r for r in all_requests(scenes, recipe, images=images)}
    return scene_range, [request for request_id, request in requests.items() if request_id not in replies]


def all_requests(scenes: list[Scene], recipe: Recipe, *, images: str | None) -> Iterator[Request]:
    """The requests about some scenes, in order; scenes without their image are passed over."""
    folder = ImageFolder(images)
    for scene in scenes:
        if folder.resolve(scene) is not None:
            for kind in recipe.kinds:
                yield recipe.request(kind, scene, recipe.prompt(kind, scene))
