"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

# Each of them holds fixtures, no doctests, and all have one name.
collect_ignore_glob = ["*/conftest.py"]
if not (find_spec("torch") and find_spec("deepspeed")):
    collect_ignore_glob.append("training/*")
if not find_spec("fastapi"):
    collect_ignore_glob.append("serving/*")


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


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """A bucket on a local S3 server, as a URI that pyarrow understands."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket="kpray")
    yield f"s3://test:test@kpray/runs?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    server.stop()
