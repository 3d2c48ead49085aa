"""Loading a model's processor, also where torchvision is not at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kpray.models import model_path


def load_processor(name: str) -> Any:
    """A model's processor.

    Some processors (Qwen's) also prepare videos and cannot be made without torchvision, which kpray does not need.
    Without it they are made for images alone.

    Args:
        name: A folder, a hub's name, or ``tiny-base``.
    """
    from transformers import AutoConfig, AutoProcessor
    from transformers.utils import is_torchvision_available

    path = model_path(name)
    model_type = AutoConfig.from_pretrained(path).model_type
    if is_torchvision_available() or model_type not in _video_families():
        return AutoProcessor.from_pretrained(path)
    return _still(_video_families()[model_type]).from_pretrained(path)


def still_processor(model_type: str, *, image_processor: Any, tokenizer: Any, chat_template: str | None) -> Any:
    """A processor of a family that also knows videos, made for images alone from its pieces."""
    made = _still(_video_families()[model_type])
    return made(image_processor=image_processor, tokenizer=tokenizer, chat_template=chat_template)


def _video_families() -> dict[str, type[Any]]:
    from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
    from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor

    return {"qwen2_vl": Qwen2VLProcessor, "qwen2_5_vl": Qwen2_5_VLProcessor}


def _still(processor_class: type[Any]) -> type[Any]:
    """The same processor without its part for videos, and under the same name, so that others can load what it saves.

    The base class counts the parts in the constructor's signature; `get_attributes` is where it asks for them.
    """

    def get_attributes(_: type[Any]) -> list[str]:
        return ["image_processor", "tokenizer"]

    def save_pretrained(self: Any, save_directory: str, **kwargs: Any) -> Any:
        saved = processor_class.save_pretrained(self, save_directory, **kwargs)
        text = json.dumps(_video_settings(self.image_processor), indent=2)
        (Path(save_directory) / "video_preprocessor_config.json").write_text(text + "\n", encoding="utf-8")
        return saved

    members = {"get_attributes": classmethod(get_attributes), "save_pretrained": save_pretrained}
    return type(processor_class.__name__, (processor_class,), members)


def _video_settings(image_processor: Any) -> dict[str, Any]:
    """What a machine with torchvision needs to make the part for videos; its patches are the images'."""
    shared = ("patch_size", "merge_size", "temporal_patch_size", "image_mean", "image_std")
    settings = image_processor.to_dict()
    return {"video_processor_type": "Qwen2VLVideoProcessor", **{key: settings[key] for key in shared}}
