"""What a run would do, without doing it."""

from __future__ import annotations

import tempfile
from typing import NamedTuple

import msgspec
import yaml

from kpray.coco import check_inputs, read_scenes
from kpray.config import GenerateConfig
from kpray.errors import InputError
from kpray.pipelines.generate import inputs, recipe_of, scene_filter
from kpray.pipelines.recipe import Recipe
from kpray.schemas import Scene


class RunPlan(NamedTuple):
    """A run that has not happened: how many scenes and requests, and a description for a person."""

    scenes: int
    requests: int
    text: str


def describe_run(config: GenerateConfig) -> RunPlan:
    """Read the inputs and render, but ask and write nothing.

    Returns:
        The counts, and a text with the resolved configuration, the number of requests and one fully rendered
        prompt per kind, of the first scene.

    Raises:
        InputError: The annotations cannot be used.
    """
    with tempfile.TemporaryDirectory() as scratch:
        drawn = msgspec.structs.replace(
            config, out=scratch, synthetic=msgspec.structs.replace(config.synthetic, images=False)
        )
        source, _ = inputs(drawn)
        check_inputs(source)
        first: Scene | None = None
        scenes = 0
        for scene in read_scenes(source, scene_filter(config)):
            first = first or scene
            scenes += 1
    if first is None:
        raise InputError("no scene is left after filtering")
    recipe = recipe_of(config)
    requests = scenes * len(config.kinds)
    heading = f"{scenes:,} scenes, {requests:,} requests to {recipe.model}"
    parts = ["# Configuration", _as_yaml(config), "# Requests", heading, *_rendered(recipe, first)]
    return RunPlan(scenes, requests, "\n".join(parts))


def _rendered(recipe: Recipe, scene: Scene) -> list[str]:
    parts = []
    for kind in recipe.kinds:
        parts.append(f"\n# Prompt: {kind}, scene {scene.scene_id} (wording {recipe.prompt_versions[kind]})")
        parts += [f"\n[{message.role}]\n{message.content}" for message in recipe.prompt(kind, scene).messages]
    return parts


def _as_yaml(config: GenerateConfig) -> str:
    return yaml.safe_dump(msgspec.to_builtins(config), sort_keys=False, allow_unicode=True)
