"""A run that is killed a hundred times: actors, nodes, the driver, the whole cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
from killing import Killer

pytestmark = pytest.mark.ray


def test_a_hundred_kills_lose_nothing_and_buy_little_twice(tmp_path: Path) -> None:
    killer = Killer(tmp_path, requests=5000, seed=7)
    found = killer.run(kills=100)
    assert sum(found["kills"].values()) == 100
    assert set(found["kills"]) == {"actor", "node", "driver", "cluster"}
    assert found["requests"] >= 5000
    assert found["same_dataset"]
    assert found["unanswered"] == 0
    assert found["repairs"] > 0
    # The server answered every request, and nothing else.
    assert found["distinct"] == found["requests"] + found["repairs"]
    # Whatever was bought twice was in flight in something that was killed, and the run knows of it.
    assert found["answered_twice"] <= found["asked_again"] <= found["bound"]
