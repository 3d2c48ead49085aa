"""Finding the scene that a record is about, by the name of its image."""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kpray import storage
from kpray.coco.rows import table_to_scenes
from kpray.schemas import Scene

_COCO_NAME: Final = re.compile(r"(?:COCO_[a-z]+\d{4}_)?(\d{12})")


class SceneFolder(msgspec.Struct, frozen=True):
    """Shards of scenes in the order of their image ids, as `kpray.pipelines.scenes` writes them.

    Attributes:
        folder: Where they are.
        names: Of the files, in order.
        first: Image id of the first scene of each; numbers are padded so that they sort as numbers.
    """

    folder: str
    names: tuple[str, ...]
    first: tuple[str, ...]

    @classmethod
    def of(cls, folder: str) -> SceneFolder:
        """The shards of a folder."""
        found = [name for name in storage.list_files(folder) if name.startswith("shard-")]
        ids = [_read(storage.join(folder, name), ["scene_id"])["scene_id"] for name in found]
        kept = [(name, _sortable(column[0].as_py())) for name, column in zip(found, ids, strict=True) if len(column)]
        return cls(folder, tuple(name for name, _ in kept), tuple(first for _, first in kept))

    def find(self, images: Iterable[str]) -> dict[str, Scene]:
        """The scenes of some images, by the image as it was given; images of other datasets have none."""
        by_shard: defaultdict[int, dict[str, list[str]]] = defaultdict(dict)
        for image in set(images):
            if (scene_id := image_id(image)) and (shard := bisect_right(self.first, _sortable(scene_id)) - 1) >= 0:
                by_shard[shard].setdefault(scene_id, []).append(image)
        found: dict[str, Scene] = {}
        for shard, wanted in by_shard.items():
            table = _read(storage.join(self.folder, self.names[shard]))
            rows = table.filter(pc.is_in(table["scene_id"], value_set=pa.array(wanted)))
            for scene in table_to_scenes(rows) if len(rows) else []:
                found |= {image: scene for image in wanted[scene.scene_id] if _is_of(image, scene)}
        return found


def image_id(image: str) -> str:
    """COCO's image id, from the name of the file; for names without a number the name itself.

    >>> image_id("COCO_train2014_000000134754.jpg"), image_id("train2017/000000134754.jpg"), image_id("x/a81f.jpg")
    ('134754', '134754', 'a81f')
    """
    stem = PurePosixPath(image).stem
    digits = _COCO_NAME.fullmatch(stem)
    if digits or stem.isdecimal():
        return str(int(digits[1] if digits else stem))
    return stem


def _is_of(image: str, scene: Scene) -> bool:
    """Whether an image is the scene's: the same name, or both named as COCO names its images.

    Other datasets number their images too (``gqa/images/2354786.jpg``), and those numbers mean nothing here.
    """
    ours, theirs = PurePosixPath(scene.file_name), PurePosixPath(image)
    return ours.name == theirs.name or bool(_COCO_NAME.fullmatch(ours.stem) and _COCO_NAME.fullmatch(theirs.stem))


def _sortable(scene_id: str) -> str:
    return scene_id.zfill(20) if scene_id.isdecimal() else scene_id


def _read(path: str, columns: list[str] | None = None) -> pa.Table:
    return pq.read_table(io.BytesIO(storage.read_bytes(path)), columns=columns)
