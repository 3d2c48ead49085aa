"""Which engine a model gets."""

from __future__ import annotations

from typing import Any

import pytest

from kpray.errors import ConfigError
from kpray.serving.engines.choose import Choice, choose


@pytest.mark.parametrize(
    ("asked", "gpus", "vllm", "engine", "why"),
    [
        ("auto", 1.0, True, "vllm", "vLLM is installed and there is a GPU"),
        ("auto", 0.0, True, "transformers", "there is no GPU"),
        ("auto", 1.0, False, "transformers", "vLLM is not installed"),
        ("transformers", 1.0, True, "transformers", "as configured"),
        ("vllm", 0.0, True, "vllm", "as configured"),
    ],
)
def test_the_choice_and_its_reason(asked: Any, gpus: float, vllm: bool, engine: Any, why: str) -> None:
    assert choose(asked, gpus=gpus, vllm=vllm) == Choice(engine, why)


def test_vllm_that_is_asked_for_has_to_be_there() -> None:
    with pytest.raises(ConfigError, match="pip install"):
        choose("vllm", gpus=1.0, vllm=False)
