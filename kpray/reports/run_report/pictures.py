"""Pictures made small enough to stand in a page."""

from __future__ import annotations

import io
from typing import Final

from PIL import Image, UnidentifiedImageError

from kpray import storage
from kpray.coco.images import ImageFolder
from kpray.errors import StorageError
from kpray.schemas import Scene

LONG_SIDE_PX: Final = 480
_QUALITY: Final = 72


class Pictures:
    """The images of a run, where they are at hand."""

    def __init__(self, folder: str | None) -> None:
        """List a folder of images; None is a run that has none."""
        self._folder = folder
        self._files = ImageFolder(folder) if folder is not None else None

    def small_jpeg(self, scene: Scene) -> bytes | None:
        """The scene's image as a JPEG with a long side of at most `LONG_SIDE_PX`; None where it cannot be had."""
        path = self._files.resolve(scene) if self._files is not None else None
        if path is None or self._folder is None:
            return None
        try:
            return _shrunk(storage.read_bytes(storage.join(self._folder, path)))
        except (StorageError, UnidentifiedImageError, OSError):
            return None  # a broken picture is shown as a missing one, and the page says so


def _shrunk(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (LONG_SIDE_PX, LONG_SIDE_PX))
        small = image.convert("RGB")
    small.thumbnail((LONG_SIDE_PX, LONG_SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()
