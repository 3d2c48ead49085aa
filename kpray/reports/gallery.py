"""A run at a glance: pictures with their skeletons, and what was written about them."""

from __future__ import annotations

import io
import json
import random
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from kpray import storage
from kpray.coco.images import ImageFolder
from kpray.coco.rows import table_to_scenes
from kpray.errors import InputError
from kpray.reports.contact_sheet import contact_sheet
from kpray.reports.skeleton import draw_scene
from kpray.schemas import Scene

_TILE_PX = 420
_COLUMNS = 4
_SAMPLES_PER_KIND = 2
_TURN_CHARS = 240


def make_gallery(run: str, *, images: str | None, count: int, seed: int) -> tuple[Image.Image, int]:
    """Draw some scenes of a run with the samples made from them.

    Args:
        run: The run's folder.
        images: Folder of the images; None takes the one that the run was made with.
        count: How many scenes at most.
        seed: Chooses the scenes.

    Returns:
        The picture and the number of scenes on it.

    Raises:
        InputError: The folder is no finished run, or its images are not at hand.
    """
    manifest = _read_manifest(run)
    folder = images or manifest["reading"].get("image_folder")
    if folder is None:
        raise InputError(f"{run} was made without images; name their folder with --images DIR")
    image_folder = ImageFolder(folder)
    found = [(scene, path) for scene in _scenes(run) if (path := image_folder.resolve(scene)) is not None]
    if not found:
        raise InputError(f"none of the images of {run} is in {folder}; name their folder with --images DIR")
    chosen = random.Random(seed).sample(found, min(count, len(found)))
    chosen.sort(key=lambda pair: pair[0].scene_id.zfill(20))
    texts = _texts(run, {scene.scene_id for scene, _ in chosen})
    tiles = [(_draw(scene, storage.join(folder, path)), texts.get(scene.scene_id, "")) for scene, path in chosen]
    return contact_sheet(tiles, columns=min(_COLUMNS, len(tiles)), tile_px=_TILE_PX), len(tiles)


def save_picture(picture: Image.Image, path: str) -> None:
    """Write a picture in the format that the file's name says.

    Raises:
        InputError: The name ends in no format that Pillow writes.
    """
    extension = "." + path.partition("?")[0].rpartition(".")[2].lower()
    image_format = Image.registered_extensions().get(extension)
    if image_format is None:
        raise InputError(f"cannot tell the picture's format from the name {path}; end it in .jpg or .png")
    buffer = io.BytesIO()
    picture.save(buffer, image_format)
    storage.write_bytes(path, buffer.getvalue())


def _read_manifest(run: str) -> dict[str, Any]:
    path = storage.join(run, "run.json")
    if not storage.exists(path):
        raise InputError(f"{run} is not a run: there is no run.json. Make one with `kpray generate --out {run}`")
    manifest: dict[str, Any] = json.loads(storage.read_bytes(path))
    if not manifest.get("totals"):
        raise InputError(f"{run} is not finished; give the command that made it again")
    return manifest


def _scenes(run: str) -> Iterator[Scene]:
    folder = storage.join(run, "scenes")
    for name in storage.list_files(folder):
        if name.endswith(".parquet"):
            yield from table_to_scenes(_read_table(storage.join(folder, name)))


def _read_table(path: str) -> Any:
    return pq.read_table(io.BytesIO(storage.read_bytes(path)))


def _draw(scene: Scene, path: str) -> Image.Image:
    return draw_scene(Image.open(io.BytesIO(storage.read_bytes(path))).convert("RGB"), scene)


def _texts(run: str, scene_ids: set[str]) -> dict[str, str]:
    """The beginning of what was written about each scene: an exchange or two of each kind, cut short."""
    exchanges: dict[str, list[str]] = defaultdict(list)
    folder = storage.join(run, "samples")
    for name in storage.list_files(folder):
        shown: Counter[str] = Counter()
        for sample in _read_table(storage.join(folder, name)).to_pylist():
            scene_id = sample["scene_id"]
            shown[scene_id] += 1
            if scene_id in scene_ids and shown[scene_id] <= _SAMPLES_PER_KIND:
                turns = [turn["value"].removeprefix("<image>\n") for turn in sample["conversations"][:2]]
                exchanges[scene_id].append("\n".join(textwrap.shorten(t, _TURN_CHARS, placeholder=" …") for t in turns))
    return {scene_id: "\n\n".join(texts) for scene_id, texts in exchanges.items()}
