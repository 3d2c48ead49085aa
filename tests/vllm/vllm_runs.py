"""Runs for the tests: settings of a small engine, and a folder with scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kpray.coco import CocoSource, SceneFilter
from kpray.coco.synthetic import write_coco
from kpray.config import GenerateConfig, TeacherConfig, VllmConfig
from kpray.pipelines.scenes import write_scenes
from kpray.schemas import Sampling

SMALL_ENGINE: dict[str, Any] = {
    "enforce_eager": True,
    "max_num_seqs": 16,
    "kv_cache_memory_bytes": 256 << 20,
}
"""For two cores and little memory."""


def settings_for(model: Path | str, *, sampling: Sampling | None = None, **vllm: Any) -> TeacherConfig:
    """The vllm teacher with a small engine."""
    own = VllmConfig(**{"batch_size": 8, "dtype": "bfloat16", "engine": SMALL_ENGINE, **vllm})
    drawn = sampling or Sampling(temperature=1.0, max_tokens=400, seed=3)
    return TeacherConfig(name="vllm", model=str(model), sampling=drawn, vllm=own)


def run_of_synthetic_scenes(folder: Path, teacher: TeacherConfig, *, count: int = 8, **more: Any) -> GenerateConfig:
    """A run's folder with its scenes, in shards of four."""
    coco = write_coco(str(folder / "coco"), count=count, seed=0, images=False)
    source = CocoSource(coco.captions, coco.keypoints, coco.instances)
    write_scenes(source, SceneFilter(), str(folder / "scenes"), 4)
    return GenerateConfig(out=str(folder), shard_size=4, teacher=teacher, **more)
