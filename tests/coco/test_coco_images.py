from __future__ import annotations

from pathlib import Path

import pytest

from kpray.coco.images import ImageFolder
from kpray.schemas import Scene


def scene(file_name: str, scene_id: str = "134754", split: str = "train2014") -> Scene:
    return Scene(scene_id, file_name, split, 1, 1, None, (), (), ())


@pytest.mark.parametrize("there", ["train2014/COCO_train2014_000000134754.jpg", "000000134754.jpg", "odd.png"])
def test_finds_an_image_under_any_of_cocos_names(tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).touch()
    folder = ImageFolder(str(tmp_path))
    names = {"COCO_train2014_000000134754.jpg", "000000134754.jpg", "http/COCO_train2014_000000134754.jpg"}
    found = {folder.resolve(scene(name)) for name in names}
    assert found == ({there} if there != "odd.png" else {None})
    assert folder.resolve(scene("odd.png")) == there


def test_a_missing_image_is_none(tmp_path: Path) -> None:
    (tmp_path / "000000000001.jpg").touch()
    assert ImageFolder(str(tmp_path)).resolve(scene("a.jpg", "2")) is None
    assert ImageFolder(str(tmp_path)).resolve(scene("a.jpg", "text", "")) is None


def test_without_a_folder_names_are_taken_as_they_are() -> None:
    assert ImageFolder(None).resolve(scene("a.jpg")) == "a.jpg"
