"""Loading a model's processor, also where torchvision is not at hand."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, AutoProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING


def load_processor(path: str) -> Any:
    """A model's processor.

    Some (Qwen's) also prepare videos and cannot be made without torchvision, which serving does not need. Without
    it they are made for pictures alone.

    Args:
        path: A folder, or a hub's name.
    """
    try:
        return AutoProcessor.from_pretrained(path)
    except ImportError:
        made = PROCESSOR_MAPPING[type(AutoConfig.from_pretrained(path))]
        return _for_pictures(made).from_pretrained(path)


def _for_pictures(processor: type[Any]) -> type[Any]:
    """The same processor without its part for videos; `get_attributes` is where transformers asks for the parts."""

    def get_attributes(_: type[Any]) -> list[str]:
        return ["image_processor", "tokenizer"]

    return type(processor.__name__, (processor,), {"get_attributes": classmethod(get_attributes)})
