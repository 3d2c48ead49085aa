"""Runs on hand-made steps that several modules compare theirs with."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hand_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all such runs, with their model."""
    from hand_fed import save_tiny_llava

    folder = tmp_path_factory.mktemp("hand-fed")
    save_tiny_llava(folder / "model")
    return folder


@pytest.fixture(scope="session")
def two_workers(ray_local: None, hand_folder: Path) -> Path:
    """An undisturbed run of two workers, ZeRO-3 in float32."""
    from hand_fed import STEPS, config_of, fit

    assert fit(config_of(hand_folder / "two", workers=2)) == STEPS
    return hand_folder / "two"


@pytest.fixture(scope="session")
def one_worker(ray_local: None, hand_folder: Path) -> Path:
    """The same of one worker."""
    from hand_fed import STEPS, config_of, fit

    assert fit(config_of(hand_folder / "one", workers=1)) == STEPS
    return hand_folder / "one"
