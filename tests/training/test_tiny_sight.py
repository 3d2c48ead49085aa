from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from kpray.coco.synthetic import as_scene, render, synthesize  # noqa: E402
from kpray.schemas import KEYPOINT_NAMES  # noqa: E402
from kpray.training.tiny.fitting import Plan, batches, fit  # noqa: E402
from kpray.training.tiny.scenes import Drawn, draw, shrink, smaller, squared_keypoints  # noqa: E402
from kpray.training.tiny.sight import mirror, places_error, presence, shift  # noqa: E402

LEFT_WRIST, RIGHT_WRIST = KEYPOINT_NAMES.index("left_wrist"), KEYPOINT_NAMES.index("right_wrist")


def one_wrist(x: float, y: float, v: int = 2) -> np.ndarray:
    keypoints = np.zeros((1, 17, 3), dtype=np.float32)
    keypoints[0, LEFT_WRIST] = x, y, v
    return keypoints


def test_a_keypoint_is_present_in_its_patch_alone() -> None:
    target = presence(one_wrist(0.99, 0.13))
    assert target.shape == (1, 64, 17)
    assert np.argwhere(target[0]).tolist() == [[1 * 8 + 7, LEFT_WRIST]]


def test_a_keypoint_that_is_not_labelled_is_nowhere() -> None:
    assert presence(one_wrist(0.5, 0.5, v=0)).sum() == 0


def test_in_a_mirror_left_is_right() -> None:
    images = np.zeros((1, 112, 112, 3), dtype=np.uint8)
    images[0, 20, 10] = 255
    mirrored, keypoints = mirror(images, one_wrist(0.1, 0.2))
    assert np.argwhere(mirrored[0].any(axis=-1)).tolist() == [[20, 111 - 10]]
    np.testing.assert_allclose(keypoints[0, RIGHT_WRIST], [0.9, 0.2, 2], rtol=1e-6)
    assert keypoints[0, LEFT_WRIST, 2] == 0


@pytest.mark.parametrize(("right", "down"), [(3, -2), (-5, 6), (0, 0)])
def test_keypoints_move_with_the_picture(right: int, down: int) -> None:
    images = np.zeros((1, 112, 112, 3), dtype=np.uint8)
    images[0, 20, 10] = 255
    moved, keypoints = shift(images, one_wrist(10 / 112, 20 / 112), right, down)
    assert np.argwhere((moved[0] == 255).all(axis=-1)).tolist() == [[20 + down, 10 + right]]
    np.testing.assert_allclose(keypoints[0, LEFT_WRIST] * 112, [10 + right, 20 + down, 2 * 112], rtol=1e-5)


def test_what_leaves_the_picture_is_not_labelled() -> None:
    _, keypoints = shift(np.zeros((1, 112, 112, 3), dtype=np.uint8), one_wrist(0.99, 0.5), 6, 0)
    assert keypoints[0, LEFT_WRIST, 2] == 0


def test_only_labelled_keypoints_have_an_error() -> None:
    said = torch.zeros((1, 64, 34))
    said[0, :, 2 * LEFT_WRIST] = 0.3
    said[0, :, 2 * RIGHT_WRIST] = 0.9  # not labelled
    assert places_error(said, one_wrist(0.5, 0.4)).item() == pytest.approx((0.2 + 0.4) / 2)


def test_keypoints_follow_the_picture_into_the_square() -> None:
    scene = as_scene(synthesize(10, 0))
    assert scene.width != scene.height
    keypoints = squared_keypoints(scene)
    labelled = keypoints[keypoints[:, 2] > 0]
    narrow = 0 if scene.width < scene.height else 1
    margin = (1 - min(scene.width, scene.height) / max(scene.width, scene.height)) / 2
    assert len(labelled) > 5
    assert (labelled[:, narrow] > margin - 0.01).all()
    assert (labelled[:, narrow] < 1 - margin + 0.01).all()


def test_painting_small_gives_nearly_the_same_picture() -> None:
    synthetic = synthesize(10, 0)
    exact, quick = (shrink(render(scene)).astype(float) for scene in (synthetic, smaller(synthetic)))
    assert np.abs(exact - quick).mean() < 3  # of 255


def test_pictures_are_painted_once(tmp_path: Path) -> None:
    first = draw(count=3, seed=5, folder=tmp_path)
    kept = next(tmp_path.iterdir())
    kept_at = kept.stat().st_mtime_ns
    second = draw(count=3, seed=5, folder=tmp_path)
    assert kept.stat().st_mtime_ns == kept_at
    assert isinstance(second, Drawn)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_epoch_has_every_sample_once() -> None:
    drawn = batches(12, Plan(steps=6, batch_size=4))
    epochs = [np.sort(np.concatenate([next(drawn) for _ in range(3)])).tolist() for _ in range(2)]
    assert epochs == [list(range(12))] * 2


def test_fitting_lowers_the_loss_and_repeats() -> None:
    def run() -> tuple[float, float]:
        weight = torch.nn.Parameter(torch.zeros(1))
        last = fit(lambda _: ((weight - 3.0) ** 2).sum(), [{"params": [weight], "lr": 0.1}], 8, PLAN)
        return last, weight.item()

    assert run() == run()
    assert run()[0] < 0.1


PLAN = Plan(steps=120, batch_size=4, log_every=0)
