"""One head node for all tests of jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ray_head import Head, ray_head


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    with ray_head() as running:
        yield running
