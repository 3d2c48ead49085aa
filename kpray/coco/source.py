"""Which files a dataset consists of, and a cheap look at them before any work begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from kpray.coco.stream import read_arrays
from kpray.errors import InputError

Role = Literal["keypoints", "instances", "captions"]

ROLES: Final[tuple[Role, ...]] = ("keypoints", "instances", "captions")
"""In the order in which the files are believed where they differ."""

_PEEK_BYTES: Final = 1 << 16
_Fields = dict[str, Any]

_TELLTALE: Final[Mapping[Role, str]] = {"captions": "caption", "keypoints": "keypoints", "instances": "bbox"}
_USUAL_NAME: Final[Mapping[Role, str]] = {
    "captions": "captions_*.json",
    "keypoints": "person_keypoints_*.json",
    "instances": "instances_*.json",
}


class CocoSource(msgspec.Struct, frozen=True):
    """The annotation files of one dataset: paths or URIs, ``.json`` or ``.json.gz``.

    Attributes:
        captions: ``captions_*.json``.
        keypoints: ``person_keypoints_*.json``.
        instances: ``instances_*.json``, or None.
    """

    captions: str
    keypoints: str
    instances: str | None = None

    def files(self) -> dict[Role, str]:
        """Path of each file that is given, in the order of `ROLES`."""
        paths: dict[Role, str | None] = {
            "keypoints": self.keypoints,
            "instances": self.instances,
            "captions": self.captions,
        }
        return {role: path for role, path in paths.items() if path is not None}


def check_inputs(source: CocoSource) -> None:
    """Look at the beginning of each file: is it there, JSON, and what it was given as?

    Reads up to the first annotation, which for a large file is some MB; what is wrong further on is found
    while reading.

    Raises:
        InputError: A file is not what it was given as.
        StorageError: A file cannot be read.
    """
    for role, path in source.files().items():
        _check_role(role, path)


def has_text_ids(source: CocoSource) -> bool:
    """Whether the dataset names its images by text (``a81f``) instead of numbers (``139`` or ``"139"``)."""
    for path in source.files().values():
        for name, rows in read_arrays(path, {"images": _Fields, "annotations": _Fields}, _PEEK_BYTES):
            if rows:
                return not _is_number(rows[0].get("id" if name == "images" else "image_id"))
    return False


def _is_number(image_id: Any) -> bool:
    return isinstance(image_id, int) or (isinstance(image_id, str) and image_id.isascii() and image_id.isdigit())


def _check_role(role: Role, path: str) -> None:
    first = _first_annotation(path)
    if first is None and role == "captions":
        return
    if first is None:
        raise InputError(
            f"{path} was given as {role} but has no annotations. Expected {_USUAL_NAME[role]} in COCO's format."
        )
    if _TELLTALE[role] not in first:
        raise InputError(
            f"{path} was given as {role}, but its annotations have no `{_TELLTALE[role]}`:"
            f" {_looks_like(first)}. Give {_USUAL_NAME[role]}."
        )


def _first_annotation(path: str) -> Mapping[str, Any] | None:
    for _, rows in read_arrays(path, {"annotations": _Fields}, _PEEK_BYTES):
        if rows:
            first: Mapping[str, Any] = rows[0]
            return first
    return None


def _looks_like(annotation: Mapping[str, Any]) -> str:
    for role, telltale in _TELLTALE.items():
        if telltale in annotation:
            return f"this looks like {'an' if role == 'instances' else 'a'} {role} file"
    return f"they have {', '.join(sorted(annotation)) or 'no fields'}"
