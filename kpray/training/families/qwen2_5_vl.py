"""Qwen2.5-VL: a vision tower with windows; tokens, template and positions of an image are Qwen2-VL's."""

from __future__ import annotations

from typing import ClassVar

from kpray.training.families.qwen2_vl import Qwen2VL


class Qwen25VL(Qwen2VL):
    """Qwen2.5-VL; only videos are timed differently, and kpray has none."""

    name: ClassVar = "Qwen2.5-VL"
    model_types: ClassVar = ("qwen2_5_vl",)
