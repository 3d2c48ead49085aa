"""Finding a scene's image in a folder, whichever of COCO's two ways of naming files was used there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from kpray import storage
from kpray.schemas import Scene


class ImageFolder:
    """A folder with images, listed once."""

    def __init__(self, folder: str | None) -> None:
        """List a folder.

        Args:
            folder: A local path or URI; None when there are no images, and file names are taken as they are.

        Raises:
            StorageError: The folder cannot be reached.
        """
        self._files = None if folder is None else frozenset(storage.list_files(folder))

    def resolve(self, scene: Scene) -> str | None:
        """Find a scene's image.

        Returns:
            Its path relative to the folder, or None if it is not there.
        """
        if self._files is None:
            return scene.file_name
        return next((name for name in _names(scene) if name in self._files), None)


def _names(scene: Scene) -> Iterator[str]:
    """Where the image may be: as the annotations say, else by either of COCO's names (2017's and 2014's)."""
    stems = [scene.file_name, PurePosixPath(scene.file_name).name]
    if scene.scene_id.isdigit():
        number = f"{int(scene.scene_id):012}.jpg"
        stems += [number, f"COCO_{scene.split}_{number}"]
    for stem in stems:
        yield stem
        if scene.split:
            yield f"{scene.split}/{stem}"
