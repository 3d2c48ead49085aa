from __future__ import annotations

import io

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.coco.rows import SCENE_SCHEMA, scenes_to_table, table_to_scenes
from kpray.schemas import Person, Scene, SceneObject

SHARE = st.floats(0, 1)
BOX = st.tuples(SHARE, SHARE, SHARE, SHARE)
NUMBER = st.integers(0, 2**53)
TRIPLE = st.tuples(SHARE, SHARE, st.integers(0, 2))
PERSON = st.builds(
    Person,
    annotation_id=NUMBER,
    box_xyxy_norm=BOX,
    keypoints_xyv_norm=st.lists(TRIPLE, min_size=17, max_size=17).map(tuple),
    num_labelled=st.integers(0, 17),
    area_px=st.floats(0, 1e6),
)
SCENE = st.builds(
    Scene,
    scene_id=st.text(max_size=5),
    file_name=st.text(max_size=5),
    split=st.sampled_from(["", "val2017"]),
    width=st.integers(1, 9999),
    height=st.integers(1, 9999),
    license_id=st.none() | st.integers(0, 9),
    captions=st.lists(st.text(max_size=9), max_size=7).map(tuple),
    objects=st.lists(st.builds(SceneObject, NUMBER, st.text(max_size=5), BOX), max_size=2).map(tuple),
    people=st.lists(PERSON, max_size=2).map(tuple),
    flags=st.sampled_from([(), ("a",), ("a", "b")]),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(SCENE, max_size=4))
def test_scenes_survive_parquet_exactly(scenes: list[Scene]) -> None:
    table = scenes_to_table(scenes)
    assert table.schema == SCENE_SCHEMA
    table.validate(full=True)
    file = io.BytesIO()
    pq.write_table(table, file)
    again = pq.read_table(file)
    assert table_to_scenes(again) == scenes
    assert table_to_scenes(again.slice(1)) == scenes[1:]
    types = {type(v) for scene in table_to_scenes(again) for p in scene.people for *_, v in p.keypoints_xyv_norm}
    assert types <= {int}
