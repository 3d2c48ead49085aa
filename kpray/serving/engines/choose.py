"""Which engine a model gets, and why."""

from __future__ import annotations

import importlib.util
from typing import Literal

import msgspec

from kpray.errors import ConfigError

EngineName = Literal["transformers", "vllm"]


class Choice(msgspec.Struct, frozen=True):
    """An engine with the reason in a few words."""

    engine: EngineName
    why: str


def vllm_installed() -> bool:
    """Whether vLLM can be imported here; looked up without importing it, which takes seconds."""
    return importlib.util.find_spec("vllm") is not None


def choose(asked: Literal["auto", "transformers", "vllm"], *, gpus: float, vllm: bool) -> Choice:
    """The engine for a model.

    Args:
        asked: As configured.
        gpus: In the cluster, that the model may use.
        vllm: Whether it is installed.

    Raises:
        ConfigError: vLLM is asked for and not installed.
    """
    if asked == "vllm" and not vllm:
        raise ConfigError(
            "engine: vllm needs vLLM, which is not installed here: pip install 'kpray[serve,vllm]' in an environment "
            "of its own, or take engine: transformers"
        )
    if asked != "auto":
        return Choice(asked, "as configured")
    if vllm and gpus:
        return Choice("vllm", "vLLM is installed and there is a GPU")
    return Choice("transformers", "there is no GPU" if vllm else "vLLM is not installed")
