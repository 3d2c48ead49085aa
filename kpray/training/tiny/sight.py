"""Stage 0: the vision tower learns to see, by telling which keypoints lie in which patch."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from kpray.schemas import KEYPOINT_NAMES
from kpray.training.tiny.fitting import Plan, fit
from kpray.training.tiny.model import IMAGE_PX, PATCH_PX
from kpray.training.tiny.scenes import Drawn

_SIDE: Final = IMAGE_PX // PATCH_PX
_RARE: Final = 20.0
"""How much more a patch with a keypoint counts than one without; few of the 64 have one."""

_MIRRORED: Final = [KEYPOINT_NAMES.index(_other_side) for _other_side in (
    name.replace("left", "*").replace("right", "left").replace("*", "right") for name in KEYPOINT_NAMES
)]  # fmt: skip

CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)


def pixels(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """(N, 3, H, W) float32 as the processor gives them, from (N, H, W, 3) uint8."""
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return (scaled - torch.tensor(CLIP_MEAN)[:, None, None]) / torch.tensor(CLIP_STD)[:, None, None]


def presence(keypoints: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N, 64, 17): 1 where a labelled keypoint lies in a patch."""
    column, row = (np.clip(keypoints[:, :, axis] * _SIDE, 0, _SIDE - 1).astype(np.int64) for axis in (0, 1))
    target = np.zeros((len(keypoints), _SIDE * _SIDE, len(KEYPOINT_NAMES)), dtype=np.float32)
    picture, joint = np.nonzero(keypoints[:, :, 2] > 0)
    target[picture, (row * _SIDE + column)[picture, joint], joint] = 1
    return target


def mirror(
    images: npt.NDArray[np.uint8], keypoints: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Pictures seen in a mirror: what was a left arm is a right one."""
    swapped = keypoints[:, _MIRRORED].copy()
    swapped[:, :, 0] = 1 - swapped[:, :, 0]
    return np.ascontiguousarray(images[:, :, ::-1]), swapped


def learn_to_see(model: Any, drawn: Drawn, plan: Plan, held_out: Drawn) -> dict[str, float]:
    """Teach the vision tower; what it answers with is thrown away afterwards.

    Returns:
        The last loss, and the share of keypoints whose patch gets the highest score.
    """
    tower = model.model.vision_tower
    torch.manual_seed(plan.seed)
    head = torch.nn.Linear(tower.config.hidden_size, len(KEYPOINT_NAMES))
    score = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(_RARE))
    draws = np.random.default_rng(plan.seed)

    def loss_of(batch: npt.NDArray[np.int64]) -> torch.Tensor:
        images, keypoints = drawn.images[batch], drawn.keypoints[batch]
        if draws.random() < 0.5:
            images, keypoints = mirror(images, keypoints)
        logits = head(features(tower, pixels(images)))
        return score(logits.float(), torch.from_numpy(presence(keypoints)))

    groups = [{"params": [*tower.parameters(), *head.parameters()], "lr": plan.lr}]
    loss = fit(loss_of, groups, len(drawn.images), plan)
    return {"sight_loss": loss, "patch_accuracy": _patch_accuracy(tower, head, held_out)}


def features(tower: Any, pixel_values: torch.Tensor) -> torch.Tensor:
    """What the projector will get: the last layer's output, without the class token."""
    return tower(pixel_values, output_hidden_states=True).hidden_states[-1][:, 1:]


def _patch_accuracy(tower: Any, head: Any, drawn: Drawn) -> float:
    target = torch.from_numpy(presence(drawn.keypoints))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = head(features(tower, pixels(drawn.images)))
    hit = target.gather(1, logits.float().argmax(dim=1, keepdim=True))[:, 0]
    return float(hit.sum() / target.sum())
