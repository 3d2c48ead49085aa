"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def coco_folder() -> Path:
    """The folder with real COCO annotations and images, named by KPRAY_COCO."""
    folder = os.environ.get("KPRAY_COCO")
    if not folder:
        pytest.skip("KPRAY_COCO is not set: no real COCO data to read")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    """A real one-machine Ray cluster of two CPUs, shared by all tests of the session."""
    import ray

    from kpray.pipelines.session import start_ray

    start_ray(num_cpus=2, address="local")
    yield
    ray.shutdown()
