"""LLaVA-1.5: a CLIP tower, a two-layer projector, Vicuna; its v1 conversation and its square images.

Public conversions of LLaVA-1.5 carry a template without the system sentence and without the ``</s>`` that ends an
answer, and centre-crop images. Whoever trains with those teaches the model not to stop, and shows it less than the
authors did. So what LLaVA's own training code does goes before such a processor's ways.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from kpray.training.config import PartName
from kpray.training.families.base import ImageTextFamily

V1_TEMPLATE: Final = (
    "{{ bos_token }}"
    "{% if messages and messages[0]['role'] == 'system' %}"
    "{% if messages[0]['content'] is string %}{{ messages[0]['content'] }}"
    "{% else %}{% for part in messages[0]['content'] %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{% else %}A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
    "{% endif %}{{ ' ' }}"
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ message['role'] | upper }}: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{{ ' ' if message['role'] == 'user' else eos_token }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""LLaVA's ``v1`` conversation (Vicuna's), for chats with and without images."""

LLAVA_PARTS: Final[tuple[tuple[str, PartName], ...]] = (
    ("vision_tower", "vision"),
    ("multi_modal_projector", "projector"),
    ("image_newline", "projector"),  # of LLaVA-NeXT; in the space of the projector's output, and trained with it
    ("language_model", "language"),
    ("lm_head", "language"),
)

_CLIP_LIKE: Final = ("CLIPImageProcessor", "LlavaImageProcessor")


class Llava(ImageTextFamily):
    """LLaVA-1.5, and models of its build."""

    name: ClassVar = "LLaVA-1.5"
    model_types: ClassVar = ("llava",)
    parts: ClassVar = LLAVA_PARTS
    template: ClassVar = V1_TEMPLATE

    def adapt_images(self, image_processor: Any) -> Any:
        """Pad to a square with the mean colour before CLIP's own steps; in PIL, so the same on every machine."""
        if not type(image_processor).__name__.removesuffix("Pil").startswith(_CLIP_LIKE):
            return image_processor  # another tower's, with other ideas of shape
        from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

        settings = image_processor.to_dict()
        settings.pop("image_processor_type", None)
        return LlavaImageProcessorPil(**{**settings, "do_pad": True})
