from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from kpray.cli import run

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory, ray_local: None) -> Path:
    folder = tmp_path_factory.mktemp("gallery") / "run"
    assert run(["generate", "--out", str(folder), "--set", "synthetic.count=6"]) == 0
    return folder


def test_scenes_of_a_run_are_drawn(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gallery.png"
    assert run(["gallery", str(finished_run), "--out", str(out), "--count", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["scenes"] == 5
    with Image.open(out) as picture:
        assert picture.width > picture.height / 5 > 100
    again = tmp_path / "again.png"
    run(["gallery", str(finished_run), "--out", str(again), "--count", "5"])
    assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--out", "g.png"], "nowhere is not a run: there is no run.json"),
        (["RUN", "--out", "g.xyz"], "end it in .jpg or .png"),
        (["RUN", "--out", "g.png", "--images", "EMPTY"], "none of the images"),
    ],
)
def test_mistakes_are_named(
    finished_run: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"RUN": str(finished_run), "EMPTY": str(tmp_path)}
    assert run(["gallery", *(known.get(argument, argument) for argument in arguments)]) == 2
    assert message in capsys.readouterr().err
