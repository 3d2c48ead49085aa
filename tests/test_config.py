from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kpray.config import GenerateConfig, load_config
from kpray.errors import ConfigError
from kpray.schemas import KIND_NAMES

ROOT = Path(__file__).parent.parent


def load(*overrides: str, file: Path | None = None, **flags: Any) -> GenerateConfig:
    return load_config(GenerateConfig, file=str(file) if file else None, flags=flags, overrides=overrides)


@pytest.mark.parametrize("path", sorted((ROOT / "jobs" / "configs").rglob("generate*.yaml")), ids=lambda p: p.name)
def test_every_configuration_in_the_tree_loads(path: Path) -> None:
    assert load(file=path).out


def test_the_papers_recipe() -> None:
    config = load(file=ROOT / "jobs/configs/paper/generate.yaml")
    assert (config.teacher.name, config.teacher.model) == ("openai", "gpt-4o")
    assert config.kinds == KIND_NAMES
    assert config.turns == "single"
    assert all("train2014" in str(path) for path in (config.captions, config.keypoints, config.instances))


def test_flags_and_overrides_win_in_that_order(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("out: a\nseed: 1\nlimit: 5\nteacher: {model: from-file, timeout_s: 3}\n")
    config = load("teacher.model=from-set", "limit=7", file=file, seed=2, limit=6, captions=None)
    assert (config.seed, config.limit) == (2, 7)
    assert (config.teacher.model, config.teacher.timeout_s) == ("from-set", 3.0)


@pytest.mark.parametrize(("written", "value"), [("1e2", 100.0), ("2.5e-1", 0.25), ("1.E+1", 10.0), ("3", 3.0)])
def test_numbers_may_be_written_with_an_exponent(written: str, value: float, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(f"out: a\nteacher: {{timeout_s: {written}}}\n")
    assert load(file=tmp_path / "c.yaml").teacher.timeout_s == value
    assert load(f"teacher.timeout_s={written}", out="a").teacher.timeout_s == value


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["teacher.modell=x"],
            r"unknown key `teacher.modell` \(did you mean `teacher.model`\?\); known keys here: name, ",
        ),
        (["teacher.sampling.temp=1"], r"unknown key `teacher.sampling.temp`.*temperature"),
        (["sede=1"], "did you mean `seed`"),
        (["seed=one"], "`seed`: expected `int`, got `str`"),
        (["kinds=[conversation, poem]"], "`kinds.*`: invalid enum value 'poem'"),
        (["kinds=[]"], "`kinds` must name each kind once"),
        (["kinds=[detailed, detailed]"], "`kinds` must name each kind once"),
        (["limit=0"], "`limit` must be at least 1; found 0"),
        (["teacher.in_flight=0"], "`teacher.in_flight` must be at least 1"),
        (["teacher.timeout_s=0"], "`teacher.timeout_s` must be above 0"),
        (["captions=c.json"], "`captions` is given without `keypoints`"),
        (["keypoints=k.json"], "`keypoints` is given without `captions`"),
        (["images=folder"], "need `captions` and `keypoints`"),
        (["seed"], "--set takes key=value"),
        (["seed=1", "seed.x=1"], "`seed` is a value, not a group of keys"),
        (["seed={"], "is not a YAML value"),
    ],
)
def test_mistakes_are_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(*overrides, out="x")


def test_out_is_required() -> None:
    with pytest.raises(ConfigError, match="missing required field `out`"):
        load()


@pytest.mark.parametrize(("text", "message"), [("- 1\n", "found a list"), ("a: [", "not valid YAML")])
def test_files_that_are_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(file=file)
