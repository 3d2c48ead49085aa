"""Stage 0: the vision tower learns to see, by telling where the keypoints are.

Two linear heads, thrown away afterwards: from each patch's token, which keypoints lie in that patch; and, again from
each patch's token, where all 17 lie in the picture. The second makes every token know the whole pose, so that a small
language model need not put it together from 64 of them.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from kpray.schemas import KEYPOINT_NAMES
from kpray.training.tiny.fitting import Plan, fit
from kpray.training.tiny.model import IMAGE_PX, PATCH_PX
from kpray.training.tiny.scenes import MEAN_RGB, Drawn

_SIDE: Final = IMAGE_PX // PATCH_PX
_RARE: Final = 20.0
"""How much more a patch with a keypoint counts than one without; few of the 64 have one."""

_PLACES_WEIGHT: Final = 5.0
"""Of the error of the places, in fractions of the picture, against the other loss."""

_SHIFT_PX: Final = 6
"""Pictures are shifted by so much at most, so that no patch always shows the same."""

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


def shift(
    images: npt.NDArray[np.uint8], keypoints: npt.NDArray[np.float32], right: int, down: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Pictures moved by some pixels; what leaves them is gone, and what comes in is the mean colour."""
    moved = np.empty_like(images)
    moved[:] = MEAN_RGB
    moved[:, _onto(down), _onto(right)] = images[:, _onto(-down), _onto(-right)]
    places = keypoints + np.array([right / IMAGE_PX, down / IMAGE_PX, 0], dtype=np.float32)
    inside = ((places[:, :, :2] >= 0) & (places[:, :, :2] < 1)).all(axis=2)
    places[:, :, 2] *= inside
    return moved, places


def _onto(by: int) -> slice:
    return slice(max(by, 0), IMAGE_PX + min(by, 0))


def learn_to_see(model: Any, drawn: Drawn, plan: Plan, held_out: Drawn) -> dict[str, float]:
    """Teach the vision tower; what it answers with is thrown away afterwards.

    Returns:
        The last loss; of the keypoints of held-out pictures, the share whose own patch gets the highest score, and the
        mean error of their places in fractions of the picture.
    """
    tower = model.model.vision_tower
    torch.manual_seed(plan.seed)
    heads = _heads(tower.config.hidden_size)
    score = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(_RARE))
    draws = np.random.default_rng(plan.seed)

    def loss_of(batch: npt.NDArray[np.int64]) -> torch.Tensor:
        images, keypoints = drawn.images[batch], drawn.keypoints[batch]
        if draws.random() < 0.5:
            images, keypoints = mirror(images, keypoints)
        images, keypoints = shift(images, keypoints, *draws.integers(-_SHIFT_PX, _SHIFT_PX + 1, size=2))
        seen = features(tower, pixels(images))
        there = score(heads["presence"](seen).float(), torch.from_numpy(presence(keypoints)))
        return there + _PLACES_WEIGHT * places_error(heads["places"](seen), keypoints)

    groups = [{"params": [*tower.parameters(), *heads.parameters()], "lr": plan.lr}]
    loss = fit(loss_of, groups, len(drawn.images), plan)
    return {"sight_loss": loss} | _proof(tower, heads, held_out)


def _heads(width: int) -> Any:
    names = len(KEYPOINT_NAMES)
    return torch.nn.ModuleDict({"presence": torch.nn.Linear(width, names), "places": torch.nn.Linear(width, 2 * names)})


def places_error(said: torch.Tensor, keypoints: npt.NDArray[np.float32]) -> torch.Tensor:
    """Mean absolute error of x and y over the labelled keypoints and all patches.

    Args:
        said: (N, 64, 34), x and y of each keypoint as each patch tells them.
        keypoints: (N, 17, 3).
    """
    labelled = torch.from_numpy(keypoints[:, None, :, 2] > 0)
    error = (said.float().unflatten(2, (-1, 2)) - torch.from_numpy(keypoints[:, None, :, :2])).abs().mean(dim=3)
    return (error * labelled).sum() / (labelled.sum() * said.shape[1]).clamp(min=1)


def features(tower: Any, pixel_values: torch.Tensor) -> torch.Tensor:
    """What the projector will get: the last layer's output, without the class token."""
    return tower(pixel_values, output_hidden_states=True).hidden_states[-1][:, 1:]


def _proof(tower: Any, heads: Any, drawn: Drawn) -> dict[str, float]:
    target = torch.from_numpy(presence(drawn.keypoints))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        seen = features(tower, pixels(drawn.images))
        logits, places = heads["presence"](seen), heads["places"](seen)
    hit = target.gather(1, logits.float().argmax(dim=1, keepdim=True))[:, 0]
    return {
        "patch_accuracy": float(hit.sum() / target.sum()),
        "places_error": float(places_error(places, drawn.keypoints)),
    }
