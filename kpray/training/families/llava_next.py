"""LLaVA-NeXT (1.6): LLaVA-1.5 with the image also cut into tiles, whose number depends on its shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from kpray.training.families.base import ImageTextFamily
from kpray.training.families.llava import LLAVA_PARTS, V1_TEMPLATE


class LlavaNext(ImageTextFamily):
    """LLaVA-NeXT; those on Vicuna speak v1, others bring a template that ends its turns."""

    name: ClassVar = "LLaVA-NeXT"
    model_types: ClassVar = ("llava_next",)
    parts: ClassVar = LLAVA_PARTS
    template: ClassVar = V1_TEMPLATE

    def extra_of(
        self, processor: Any, input_ids: npt.NDArray[np.int64], images: Mapping[str, Any]
    ) -> dict[str, npt.NDArray[Any]]:
        """``pixel_values`` as (tiles, 3, H, W), so that images of unlike numbers of tiles are put together unpadded."""
        extra = super().extra_of(processor, input_ids, images)
        return {key: value[0] if key == "pixel_values" else value for key, value in extra.items()}
