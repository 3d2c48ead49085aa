from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from kpray.coco.synthetic import SyntheticFiles, synthesize, write_coco

# pycocotools 2.0 has not yet learnt numpy 2's copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SCENES_WITH_CROWD = 80


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> SyntheticFiles:
    return write_coco(tmp_path_factory.mktemp("synthetic"), count=SCENES_WITH_CROWD, seed=2, images=False)


def read(path: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path(path).read_bytes())
    return document


def test_pycocotools_reads_all_three_files(files: SyntheticFiles) -> None:
    keypoints, instances, captions = (COCO(p) for p in (files.keypoints, files.instances, files.captions))
    assert keypoints.getCatIds(catNms=["person"]) == [1]
    assert len(keypoints.loadCats(1)[0]["skeleton"]) == 19
    assert len(instances.getCatIds()) == 80
    assert instances.getCatIds(catNms=["tennis racket"]) == [43]
    for image_id in instances.getImgIds():
        assert len(captions.loadAnns(captions.getAnnIds(imgIds=[image_id]))) == 5


def test_a_keypoint_annotation_is_its_instance(files: SyntheticFiles) -> None:
    instances = {a["id"]: a for a in read(files.instances)["annotations"]}
    people = read(files.keypoints)["annotations"]
    assert len(people) == sum(a["category_id"] == 1 for a in instances.values())
    for person in people:
        assert person["bbox"] == instances[person["id"]]["bbox"]
        assert len(person["keypoints"]) == 51
        assert person["num_keypoints"] == sum(v > 0 for v in person["keypoints"][2::3])


def test_ids_are_unique(files: SyntheticFiles) -> None:
    for path in (files.captions, files.instances, files.keypoints):
        ids = [a["id"] for a in read(path)["annotations"]]
        assert len(ids) == len(set(ids))


def test_masks_fit_their_boxes_and_areas(files: SyntheticFiles) -> None:
    instances = COCO(files.instances)
    for annotation in instances.loadAnns(instances.getAnnIds())[::3]:
        mask = instances.annToMask(annotation).astype(bool)
        rows, columns = np.nonzero(mask)
        x, y, w, h = annotation["bbox"]
        assert abs(columns.min() - x) <= 3
        assert abs(columns.max() + 1 - (x + w)) <= 3
        assert abs(rows.min() - y) <= 3
        assert abs(rows.max() + 1 - (y + h)) <= 3
        # Polygons have no holes, and lines stand for staircases.
        assert mask.sum() >= 0.75 * annotation["area"]


def test_there_are_crowds_and_people_without_keypoints(files: SyntheticFiles) -> None:
    people = read(files.keypoints)["annotations"]
    crowds = [a for a in people if a["iscrowd"]]
    assert crowds
    images = {i["id"]: i for i in read(files.keypoints)["images"]}
    for crowd in crowds:
        image = images[crowd["image_id"]]
        assert crowd["segmentation"]["size"] == [image["height"], image["width"]]
        assert sum(crowd["segmentation"]["counts"]) == image["height"] * image["width"]
        assert sum(crowd["segmentation"]["counts"][1::2]) == crowd["area"]
    assert any(a["num_keypoints"] == 0 and not a["iscrowd"] for a in people)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_coco(tmp_path / "a", count=3, seed=9)
    second = write_coco(tmp_path / "b", count=3, seed=9)
    names = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(names) == 6
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert first.images != second.images


def test_a_longer_series_starts_with_the_shorter(tmp_path: Path, files: SyntheticFiles) -> None:
    short = write_coco(tmp_path, count=4, seed=2, images=False)
    few, many = read(short.instances), read(files.instances)
    assert many["images"][:4] == few["images"]
    assert many["annotations"][: len(few["annotations"])] == few["annotations"]


def test_pictures_have_the_size_that_the_files_say(tmp_path: Path) -> None:
    files = write_coco(tmp_path, count=2, seed=5, first_image_id=700)
    for image in read(files.captions)["images"]:
        assert image["file_name"] in ("000000000700.jpg", "000000000701.jpg")
        with Image.open(Path(files.images) / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])
            assert picture.format == "JPEG"


def test_captions_in_the_file_are_the_scenes(files: SyntheticFiles) -> None:
    written = [a["caption"] for a in read(files.captions)["annotations"] if a["image_id"] == 7]
    assert written == list(synthesize(6, seed=2).captions)
