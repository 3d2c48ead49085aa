"""What differs between kinds of vision-language models; `family_of` finds a model's own.

Adding a family is one file here and one line in `_FAMILIES`.
"""

from __future__ import annotations

from typing import Final

from kpray.errors import ConfigError
from kpray.training.families.base import ImageTextFamily
from kpray.training.families.llava import Llava
from kpray.training.families.llava_next import LlavaNext
from kpray.training.families.processors import load_processor
from kpray.training.families.qwen2_5_vl import Qwen25VL
from kpray.training.families.qwen2_vl import Qwen2VL
from kpray.training.families.rows import one_row

_FAMILIES: Final[tuple[ImageTextFamily, ...]] = (Llava(), LlavaNext(), Qwen2VL(), Qwen25VL())

FORWARD_ARGUMENTS: Final = {"use_cache": False}
"""What a forward pass takes besides what `collate` gives; with a cache, samples of a row see each other unnoticed."""


def family_of(model_type: str) -> ImageTextFamily:
    """The family of a model.

    Args:
        model_type: ``config.model_type``.

    Raises:
        ConfigError: No family knows it.
    """
    for family in _FAMILIES:
        if model_type in family.model_types:
            return family
    known = ", ".join(model_type for family in _FAMILIES for model_type in family.model_types)
    raise ConfigError(f"no family for model type {model_type!r}; known: {known}; see docs/training_data.md to add one")


__all__ = ["FORWARD_ARGUMENTS", "ImageTextFamily", "family_of", "load_processor", "one_row"]
