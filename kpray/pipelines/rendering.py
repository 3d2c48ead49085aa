"""Scenes as requests: one for every kind, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kpray.coco.images import ImageFolder
from kpray.pipelines.recipe import Recipe
from kpray.prompts.kind import Prompt
from kpray.schemas import Request, Scene


class Rendered(NamedTuple):
    """A request and what it was made of.

    Attributes:
        scene: It is about.
        image: Path of the scene's image, relative to the folder of images.
        prompt: That it sends.
        request: As it is sent.
    """

    scene: Scene
    image: str
    prompt: Prompt
    request: Request


def render(
    scenes: Iterable[Scene], recipe: Recipe, images: ImageFolder, without_image: list[Scene] | None = None
) -> Iterator[Rendered]:
    """Render the requests about some scenes, one by one.

    Args:
        scenes: In order.
        recipe: What scenes become.
        images: Where each scene's image must be; a scene without its image is passed over.
        without_image: Receives the scenes that are passed over.
    """
    for scene in scenes:
        image = images.resolve(scene)
        if image is None:
            if without_image is not None:
                without_image.append(scene)
            continue
        for kind in recipe.kinds:
            prompt = recipe.prompt(kind, scene)
            yield Rendered(scene, image, prompt, recipe.request(kind, scene, prompt))
