from __future__ import annotations

from pathlib import Path

import pytest

from kpray.pose import VOCABULARY
from kpray.pose.rules import RULES, Rule

DOCS = Path(__file__).parents[2] / "docs" / "pose_codes.md"


@pytest.mark.parametrize("key", sorted(RULES))
def test_rules_speak_the_vocabulary(key: str):
    rule = RULES[key]
    assert {value for value in rule.values if value} <= set(VOCABULARY[rule.name])
    assert rule.tolerance > 0


def test_thresholds_must_rise():
    with pytest.raises(ValueError, match="rising thresholds"):
        Rule("elbow", ("bent", "straight", None), (20, 10), 5, "deg", "ours")


@pytest.mark.parametrize("name", sorted(VOCABULARY))
def test_every_code_is_documented(name: str):
    assert f"`{name}`" in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize("key", sorted(key for key, rule in RULES.items() if rule.thresholds))
def test_documented_thresholds_are_those_of_the_code(key: str):
    rule = RULES[key]
    line = next(x for x in DOCS.read_text(encoding="utf-8").splitlines() if x.startswith(f"| `{rule.name}` {key} "))
    assert f" {', '.join(f'{t:g}' for t in rule.thresholds)} {rule.unit} ±{rule.tolerance:g} " in line
