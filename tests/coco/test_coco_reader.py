from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kpray.coco import CocoSource, ReadingReport, SceneFilter, check_inputs, read_scenes
from kpray.coco import spill as spill_module
from kpray.coco.filters import total
from kpray.coco.join import join_range
from kpray.coco.reader import plan_ranges, plan_spills
from kpray.coco.rows import table_to_scenes
from kpray.coco.spill import spill
from kpray.coco.validate import DOUBTS
from kpray.errors import InputError, StorageError
from kpray.schemas import Scene

PERSON, DOG = {"id": 1, "name": "person"}, {"id": 18, "name": "dog"}
Document = dict[str, Any]
Documents = dict[str, Document]


def image(image_id: int | str, **changes: Any) -> dict[str, Any]:
    name = f"{image_id:012}.jpg" if isinstance(image_id, int) else f"{image_id}.jpg"
    return {"id": image_id, "file_name": name, "width": 200, "height": 100, "license": 4} | changes


def box(annotation_id: int, image_id: int | str, category_id: int = 1, **changes: Any) -> dict[str, Any]:
    row = {"id": annotation_id, "image_id": image_id, "category_id": category_id, "bbox": [20, 10, 100, 80]}
    return row | {"area": 50.5, "iscrowd": 0, "segmentation": [[1, 2, 3]]} | changes


def pose(annotation_id: int, image_id: int | str, labelled: int = 17, **changes: Any) -> dict[str, Any]:
    numbers = [50, 50, 2] * labelled + [7, 7, 0] * (17 - labelled)
    return box(annotation_id, image_id, keypoints=numbers, num_keypoints=labelled) | changes


def caption(annotation_id: int, image_id: int | str, text: str = "A person.") -> dict[str, Any]:
    return {"id": annotation_id, "image_id": image_id, "caption": text}


def documents() -> Documents:
    """Two images: a person with a dog, and a person nobody labelled."""
    images = [image(1000), image(9)]
    return {
        "captions": {"images": images, "annotations": [caption(2, 9, " Two\n words "), caption(1, 9, "One.")]},
        "keypoints": {
            "annotations": [pose(7, 9, 3), pose(5, 1000, 0)],
            "images": images,
            "categories": [PERSON],
        },
        "instances": {
            "categories": [PERSON, DOG],
            "images": images,
            "annotations": [box(8, 9, 18), box(7, 9), box(5, 1000), box(6, 9, bbox=[0, 0, 10, 10])],
        },
    }


Write = Callable[..., CocoSource]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_documents(files: Documents) -> CocoSource:
        paths = {}
        for role, document in files.items():
            path = tmp_path / f"{role}_val2017.json"
            path.write_text(json.dumps(document))
            paths[role] = str(path)
        return CocoSource(**paths)

    return write_documents


def read_with_report(
    source: CocoSource, scene_filter: SceneFilter, folder: Path, range_images: int = 4096, **sizes: int
) -> tuple[list[Scene], ReadingReport]:
    jobs = plan_spills(source, scene_filter, str(folder))
    files = [spill(msgspec.structs.replace(job, **sizes)) for job in jobs]
    parts = [join_range(job) for job in plan_ranges(files, scene_filter, range_images)]
    return [scene for table, _ in parts for scene in table_to_scenes(table)], total(r for _, r in parts)


def read(source: CocoSource, **filters: Any) -> list[Scene]:
    return list(read_scenes(source, SceneFilter(**filters)))


def test_a_keypoint_annotation_and_its_instance_are_one_person(write: Write) -> None:
    (scene,) = read(write(documents()))
    assert (scene.scene_id, scene.file_name, scene.split, scene.license_id) == ("9", "000000000009.jpg", "val2017", 4)
    assert [(p.annotation_id, p.num_labelled, p.area_px) for p in scene.people] == [(6, 0, 50.5), (7, 3, 50.5)]
    assert scene.people[1].box_xyxy_norm == (0.1, 0.1, 0.6, 0.9)
    assert scene.people[1].keypoints_xyv_norm == ((0.25, 0.5, 2),) * 3 + ((0.0, 0.0, 0),) * 14
    assert scene.people[0].keypoints_xyv_norm == ((0.0, 0.0, 0),) * 17
    assert [(o.annotation_id, o.category) for o in scene.objects] == [(8, "dog")]
    assert scene.captions == ("Two words", "One.")
    assert scene.flags == ()


def test_people_without_labelled_keypoints_keep_their_box(write: Write) -> None:
    scenes = read(write(documents()), min_keypoints=0)
    assert [scene.scene_id for scene in scenes] == ["9", "1000"]
    assert scenes[1].people[0].box_xyxy_norm == (0.1, 0.1, 0.6, 0.9)
    assert scenes[1].captions == ()


def test_works_without_instances(write: Write) -> None:
    files = documents()
    del files["instances"]
    (scene,) = read(write(files))
    assert (len(scene.people), scene.objects) == (1, ())


def test_boxes_and_keypoints_are_clamped_to_the_image(write: Write) -> None:
    files = documents()
    numbers = [250, -20, 2] + [0, 0, 0] * 16
    files["keypoints"]["annotations"] = [box(1, 9, bbox=[-20, 50, 900, 90], keypoints=numbers)]
    del files["instances"]
    (scene,) = read(write(files))
    assert scene.people[0].box_xyxy_norm == (0.0, 0.5, 1.0, 1.0)
    assert scene.people[0].keypoints_xyv_norm[0] == (1.0, 0.0, 2)


def test_what_is_tolerated_is_counted(write: Write, tmp_path: Path) -> None:
    files = documents()
    keypoints, instances, captions = files["keypoints"], files["instances"], files["captions"]
    keypoints["images"] = [*keypoints["images"], image(9)]
    keypoints["annotations"] += [
        pose(7, 9, 3),  # again
        pose(3, 9, iscrowd=1),
        pose(2, 9, 4, num_keypoints=9, bbox=[1, 1, 60, 60]),
        pose(1, 404),  # of no image
        {"id": 99, "image_id": 9, "category_id": 1, "bbox": [5, 5, 5, 5], "x": 1},
    ]
    instances["annotations"] += [box(3, 9, iscrowd=1), box(33, 9, 18, iscrowd=1), box(77, 9, bbox=[1, 1, 60, 60])]
    captions["annotations"] += [caption(1, 9, "One."), caption(4, 9, "  "), caption(3, 404)]
    (scene,), report = read_with_report(write(files), SceneFilter(), tmp_path / "spill")
    assert [p.annotation_id for p in scene.people] == [2, 6, 7, 99]
    assert [p.num_labelled for p in scene.people] == [4, 0, 3, 0]
    assert scene.captions == ("Two words", "One.")
    assert scene.flags == ("crowd",)
    assert report == ReadingReport(
        images=2,
        duplicate_images=1,
        duplicate_annotations=2,
        crowds_left_out=2,
        same_box_people=1,
        annotations_without_image=2,
        keypoint_count_mismatches=1,
        flags={"keypoints_outside_box": 0, "hull_misfits_box": 0, "image_size_missing": 0, "crowd": 1},
        dropped={"image_size": 0, "min_people": 1},
    )


def test_a_crowd_is_no_reason_to_reject_a_scene(write: Write) -> None:
    files = documents()
    files["keypoints"]["annotations"] += [pose(33, 9, iscrowd=1)]
    (scene,) = read(write(files), reject_flagged=True)
    assert scene.flags == ("crowd",)


def test_a_crowd_of_things_says_nothing_about_the_people(write: Write) -> None:
    files = documents()
    files["instances"]["annotations"] += [box(33, 9, 18, iscrowd=1)]
    (scene,) = read(write(files))
    assert scene.flags == ()


def test_equal_ids_of_a_person_and_an_object_are_two_things(write: Write) -> None:
    files = documents()
    files["instances"]["annotations"] = [box(7, 9, 18)]
    (scene,) = read(write(files))
    assert ([p.annotation_id for p in scene.people], [o.category for o in scene.objects]) == ([7], ["dog"])


@pytest.mark.parametrize("missing", [{"width": 0}, {"height": None}])
def test_an_image_without_size_is_flagged_and_dropped(write: Write, tmp_path: Path, missing: dict[str, Any]) -> None:
    files = documents()
    for document in files.values():
        document["images"] = [image(1000), image(9, **missing)]
    scenes, report = read_with_report(write(files), SceneFilter(min_keypoints=0), tmp_path / "spill")
    assert [scene.scene_id for scene in scenes] == ["1000"]
    assert (report.flags["image_size_missing"], report.dropped["image_size"]) == (1, 1)


def test_the_size_is_taken_from_the_file_that_has_it(write: Write) -> None:
    files = documents()
    files["keypoints"]["images"] = [image(9, width=0, height=0)]
    assert read(write(files))[0].width == 200


def test_flagged_scenes_can_be_rejected(write: Write, tmp_path: Path) -> None:
    files = documents()
    files["keypoints"]["annotations"][0]["keypoints"][0] = 190
    source = write(files)
    assert read(source)[0].flags == ("keypoints_outside_box",)
    scenes, report = read_with_report(source, SceneFilter(reject_flagged=True), tmp_path / "spill")
    assert (scenes, report.dropped["reject_flagged"]) == ([], 1)


def test_filters_by_people_licence_list_and_limit(write: Write, tmp_path: Path) -> None:
    files = documents()
    files["keypoints"]["images"] = [image(i, license=i % 2) for i in range(10)]
    files["keypoints"]["annotations"] = [pose(10 * i + j, i, 5) for i in range(10) for j in range(1 + i // 5)]
    del files["instances"]
    files["captions"] = {"images": [], "annotations": []}
    source = write(files)
    listed = tmp_path / "list.txt"
    listed.write_text("0003\n000000000007.jpg  # a comment\nval2017/000000000008.jpg\n\n8\n")

    def ids(**filters: Any) -> list[int]:
        return [int(scene.scene_id) for scene in read(source, **filters)]

    assert ids(limit=3) == [0, 1, 2]
    assert ids(min_people=2) == [5, 6, 7, 8, 9]
    assert ids(licenses=(1,)) == [1, 3, 5, 7, 9]
    assert ids(image_list=str(listed)) == [3, 7, 8]
    with pytest.raises(InputError, match=r"10 images were read; 10 with too few people or keypoints \(min_people\)"):
        ids(min_keypoints=6)
    with pytest.raises(InputError, match=r"7 not in the image list \(image_list\), 3 with another licence"):
        ids(image_list=str(listed), licenses=(9,))
    with pytest.raises(StorageError, match="nowhere"):
        ids(image_list="nowhere.txt")


def test_text_ids_and_numbers_as_text(write: Write) -> None:
    for ids in (["b7", "a12", "a2"], ["10", "9"]):
        files = documents()
        files["keypoints"]["images"] = [image(i) for i in ids]
        files["keypoints"]["annotations"] = [pose(n, i) for n, i in enumerate(ids)]
        files["captions"] = {"images": [], "annotations": [caption(n, i, i) for n, i in enumerate(ids)]}
        del files["instances"]
        expected = ["a12", "a2", "b7"] if "b7" in ids else ["9", "10"]
        assert [(s.scene_id, *s.captions) for s in read(write(files))] == [(i, i) for i in expected]


def test_text_among_numbers_is_an_error(write: Write) -> None:
    files = documents()
    files["captions"]["images"] = [image(9), image("a12")]
    with pytest.raises(InputError, match="all numbers .* or all text"):
        read(write(files))


def test_split_of_2014_names(write: Write) -> None:
    files = documents()
    name = "COCO_train2014_000000000009.jpg"
    files["keypoints"]["images"] = [image(9, file_name=name)]
    assert (read(write(files))[0].split, read(write(files))[0].file_name) == ("train2014", name)


@pytest.mark.parametrize(
    ("changes", "split"),
    [
        ({"coco_url": "http://images.cocodataset.org/train2017/000000000009.jpg"}, "train2017"),
        ({"coco_url": None}, "val2017"),
        ({"file_name": "test-dev2015/9.jpg", "coco_url": "http://host/train2017/9.jpg"}, "test-dev2015"),
    ],
)
def test_split_by_name_then_folder_then_file(write: Write, changes: dict[str, Any], split: str) -> None:
    files = documents()
    files["keypoints"]["images"] = [image(9, **changes)]
    assert read(write(files))[0].split == split


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A man.", "A man."),
        (" A man.", "A man."),
        ("A man. ", "A man."),
        ("A  man.", "A man."),
        ("A\tman.\n", "A man."),
        ("\u3000A\u00a0café\x1fman.", "A café man."),
        ("A naïve man.", "A naïve man."),
    ],
)
def test_captions_come_on_one_line(write: Write, text: str, expected: str) -> None:
    files = documents()
    files["captions"]["annotations"] = [caption(1, 9, "Before."), caption(2, 9, text), caption(3, 9, "\n \t")]
    assert read(write(files))[0].captions == ("Before.", expected)


def swap(files: Documents, one: str, two: str) -> None:
    files[one], files[two] = files[two], files[one]


def change(files: Documents, role: str, **changes: Any) -> None:
    files[role]["annotations"][-1] |= changes


BAD_FILES: list[tuple[str, Callable[[Documents], Any], str]] = [
    ("captions as keypoints", lambda f: swap(f, "captions", "keypoints"), "looks like a captions file"),
    ("instances as keypoints", lambda f: f.update(keypoints=f["instances"]), "looks like an instances file"),
    ("keypoints as captions", lambda f: f.update(captions=f["keypoints"]), "looks like a keypoints file"),
    ("captions as instances", lambda f: f.update(instances=f["captions"]), "looks like a captions file"),
    ("no annotations", lambda f: f["keypoints"].update(annotations=[]), "has no annotations"),
    ("50 numbers", lambda f: change(f, "keypoints", keypoints=[1] * 50), "annotation 5 has 50 keypoint numbers"),
    ("text", lambda f: change(f, "keypoints", keypoints=["a"] * 51), "id 5 cannot be read: Expected `float`"),
    ("NaN", lambda f: change(f, "keypoints", bbox=[1, float("nan"), 1, 1]), "id 5 .*no NaN"),
    ("odd v", lambda f: change(f, "keypoints", keypoints=[1, 2, 0.7] * 17), "annotation 5 .* v is none of 0"),
    ("negative box", lambda f: change(f, "instances", bbox=[1, 1, -4, 4]), "annotation 6 has a box of negative"),
    ("no box", lambda f: f["instances"]["annotations"][-1].pop("bbox"), "id 6 .* missing required field `bbox`"),
    ("3 numbers", lambda f: change(f, "instances", bbox=[1, 1, 4]), "id 6 .*length 4"),
    ("negative image", lambda f: f["captions"]["images"].append(image(3, width=-1)), "image 3 has a negative"),
    ("no person", lambda f: f["keypoints"].update(categories=[DOG]), "category table has no `person`"),
    ("no categories", lambda f: f["keypoints"].pop("categories"), "category table has no `person`"),
    ("unknown category", lambda f: change(f, "instances", category_id=44), "category id 44, which is not in"),
]


@pytest.mark.parametrize(("spoil", "message"), [row[1:] for row in BAD_FILES], ids=[row[0] for row in BAD_FILES])
def test_bad_files_are_clear_errors(write: Write, spoil: Callable[[Documents], Any], message: str) -> None:
    files = json.loads(json.dumps(documents()))
    spoil(files)
    with pytest.raises(InputError, match=message):
        read(write(files))


def test_swapped_files_are_found_before_any_work(write: Write) -> None:
    files = documents()
    swap(files, "captions", "keypoints")
    with pytest.raises(InputError, match=r"captions_val2017\.json was given as captions|given as keypoints"):
        check_inputs(write(files))
    check_inputs(write(documents()))


def test_a_truncated_file_is_a_clear_error(write: Write) -> None:
    source = write(documents())
    path = Path(source.keypoints)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="truncated"):
        read(source)


def random_documents(draw: st.DrawFn) -> Documents:
    ids = draw(st.lists(st.integers(0, 30), min_size=1, max_size=12))
    ids_of_annotations = st.lists(st.tuples(st.integers(0, 9), st.sampled_from([*ids, 77])), min_size=1, max_size=12)
    files = documents()
    for document in files.values():
        document["images"] = [image(i) for i in draw(st.permutations(ids))]
    files["keypoints"]["annotations"] = [pose(a, i, 1 + a % 5, iscrowd=a % 4 == 3) for a, i in draw(ids_of_annotations)]
    files["instances"]["annotations"] = [box(a, i, 18 if a % 2 else 1) for a, i in draw(ids_of_annotations)]
    files["captions"]["annotations"] = [caption(a, i, f"{a} {i}") for a, i in draw(ids_of_annotations)]
    return files


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_result_does_not_depend_on_sizes(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    source = write(data.draw(st.composite(random_documents)()))
    folder, keep_all = tmp_path / "spill", SceneFilter(min_people=0)
    expected = read_with_report(source, keep_all, folder)
    monkeypatch.setattr(spill_module, "_BATCH_ROWS", data.draw(st.integers(1, 4)))
    sizes = {"chunk_bytes": data.draw(st.integers(1, 900)), "run_bytes": data.draw(st.integers(1, 900))}
    small = read_with_report(source, keep_all, folder, range_images=data.draw(st.integers(1, 5)), **sizes)
    assert small == expected
    assert [int(s.scene_id) for s in expected[0]] == sorted({int(s.scene_id) for s in expected[0]})


def plain_join(source: CocoSource) -> dict[str, tuple[Any, ...]]:
    """The plain way, in pure Python: ids and numbers of every image of the files."""
    documents = {role: json.loads(Path(path).read_bytes()) for role, path in source.files().items()}
    sizes = {row["id"]: (row["width"], row["height"]) for row in documents["keypoints"]["images"]}
    people: dict[int, dict[int, Any]] = defaultdict(dict)
    objects: dict[int, dict[int, str]] = defaultdict(dict)
    captions: dict[int, list[str]] = defaultdict(list)
    for row in documents["captions"]["annotations"]:
        captions[row["image_id"]].append(" ".join(row["caption"].split()))
    names = {row["id"]: row["name"] for row in documents["instances"]["categories"]}
    for row in documents["keypoints"]["annotations"]:
        if not row["iscrowd"]:
            people[row["image_id"]][row["id"]] = (row["bbox"], row["keypoints"])
    for row in documents["instances"]["annotations"]:
        if row["category_id"] != 1 and not row["iscrowd"]:
            objects[row["image_id"]][row["id"]] = names[row["category_id"]]
        boxes = [known for known, _ in people[row["image_id"]].values()]
        if row["category_id"] == 1 and not row["iscrowd"] and row["bbox"] not in boxes:
            people[row["image_id"]][row["id"]] = (row["bbox"], [0] * 51)

    def person(image_id: int, bbox: list[float], numbers: list[float]) -> tuple[Any, ...]:
        (w, h), (x, y, bw, bh) = sizes[image_id], bbox
        corners = ((x / w), (y / h), (x + bw) / w, (y + bh) / h)
        return tuple(min(max(c, 0.0), 1.0) for c in corners), tuple(
            (numbers[i] / w, numbers[i + 1] / h, numbers[i + 2]) for i in range(0, 51, 3)
        )

    return {
        str(i): (
            tuple(captions[i]),
            {a: person(i, *row) for a, row in sorted(people[i].items())},
            objects[i],
        )
        for i in sizes
        if any(any(numbers[2::3]) for _, numbers in people[i].values())
    }


def test_real_val2017_is_read_as_the_plain_way_does(coco_folder: Path) -> None:
    folder = coco_folder / "annotations"
    source = CocoSource(
        captions=str(folder / "captions_val2017.json"),
        keypoints=str(folder / "person_keypoints_val2017_rebuilt.json"),
        instances=str(folder / "instances_val2017_subset.json"),
    )
    scenes = read(source)
    expected = plain_join(source)
    assert len(scenes) == 2346
    assert [scene.scene_id for scene in scenes] == sorted(expected, key=int)
    for scene in scenes:
        captions, people, objects = expected[scene.scene_id]
        assert scene.captions == captions
        assert {o.annotation_id: o.category for o in scene.objects} == objects
        assert {p.annotation_id: (p.box_xyxy_norm, p.keypoints_xyv_norm) for p in scene.people} == people
    assert not [scene.scene_id for scene in scenes if set(scene.flags) & set(DOUBTS)]


def test_the_verbatim_subset_has_crowds_and_people_without_keypoints(coco_folder: Path, tmp_path: Path) -> None:
    folder = coco_folder / "annotations"
    source = CocoSource(
        captions=str(folder / "captions_val2017.json"),
        keypoints=str(folder / "person_keypoints_val2017_original_subset.json"),
    )
    rows = json.loads(Path(source.keypoints).read_bytes())["annotations"]
    scenes, report = read_with_report(source, SceneFilter(min_keypoints=0), tmp_path)
    assert report.crowds_left_out == sum(row["iscrowd"] for row in rows) > 0
    assert sum(len(scene.people) for scene in scenes) == sum(not row["iscrowd"] for row in rows)
    zero = sum(p.num_labelled == 0 for scene in scenes for p in scene.people)
    assert zero == sum(not row["iscrowd"] and row["num_keypoints"] == 0 for row in rows) > 0


def test_gzipped_files_are_read_the_same(write: Write) -> None:
    source = write(documents())
    packed = source.keypoints + ".gz"
    Path(packed).write_bytes(gzip.compress(Path(source.keypoints).read_bytes()))
    assert read(CocoSource(source.captions, packed, source.instances)) == read(source)
