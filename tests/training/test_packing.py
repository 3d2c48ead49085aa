"""Samples that share a row learn exactly what they learn alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_families import MODEL_TYPES, chat, picture, tiny  # noqa: E402

from kpray.training.families import FORWARD_ARGUMENTS, family_of, one_row  # noqa: E402
from kpray.training.types import IGNORED, Encoded  # noqa: E402

ATTENTION = ("sdpa", "eager")
SHAPES = ((91, 60), (50, 83), (64, 64), (120, 40), (70, 70))
LAYOUTS = {
    "one row": [[0, 1, 2, 3, 4]],
    "rows of unlike length": [[0, 1], [2], [3, 4]],
    "one sample each, padded": [[4], [1], [0], [2], [3]],
}


def samples(model_type: str) -> list[Encoded]:
    """Five of unlike length; the last has no image."""
    family, processor = family_of(model_type), tiny(model_type).processor
    said = [
        ("<image>\nWhat is the person doing?", "The person's left arm is raised."),
        ("<image>\nAnd?", "Nothing.", "Sure?", "The right leg is bent, and so is the left knee."),
        ("<image>\nDescribe the pose.", "The person stands."),
        ("<image>\nWhat of the elbow?", "It is straight."),
        ("What is a knee?", "It is between the thigh and the shin."),
    ]
    images = [picture(*size, seed=number) for number, size in enumerate(SHAPES)]
    return [
        family.encode(processor, chat(*turns), image if "<image>" in turns[0] else None)
        for turns, image in zip(said, images, strict=True)
    ]


def loss_sum(logits: Any, labels: Any) -> Any:
    """Sum of the losses of all tokens that carry one."""
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
    )


def gradients(model: Any, losses: Sequence[Any]) -> dict[str, Any]:
    model.zero_grad()
    for loss in losses:
        loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def alone(model: Any, processor: Any, sample: Encoded) -> Any:
    """The loss of one sample the way transformers documents: a full attention mask, and its own positions."""
    ids = torch.from_numpy(sample.input_ids)[None]
    names = [key for key in sample.extra if key != "position_ids" and not key.startswith("unseen_")]
    inputs = {key: torch.from_numpy(sample.extra[key]) for key in names}
    if "image_grid_thw" in inputs:
        inputs["mm_token_type_ids"] = (ids == processor.image_token_id).int()
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **inputs).logits
    return loss_sum(logits, torch.from_numpy(sample.labels)[None])


def collated(model_type: str, layout: Sequence[Sequence[int]], pad_id: int | None = None) -> dict[str, Any]:
    encoded = samples(model_type)
    rows = [[encoded[number] for number in row] for row in layout]
    pad = tiny(model_type).processor.tokenizer.pad_token_id if pad_id is None else pad_id
    return family_of(model_type).collate(rows, pad_id=pad)


def together(model: Any, batch: Mapping[str, Any], **arguments: Any) -> Any:
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    return loss_sum(model(**inputs, **{**FORWARD_ARGUMENTS, **arguments}).logits, batch["labels"])


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_losses_and_gradients_are_those_of_the_samples_alone(
    model_type: str, attention: str, layout: list[list[int]]
) -> None:
    model, processor = tiny(model_type, attention)
    assert model.config._attn_implementation == attention
    singles = [alone(model, processor, sample) for sample in samples(model_type)]
    wanted_loss, wanted = sum(loss.item() for loss in singles), gradients(model, singles)
    batch = collated(model_type, layout)
    loss = together(model, batch)
    found = gradients(model, [loss])
    assert loss.item() == pytest.approx(wanted_loss, rel=1e-6)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        scale = max(1.0, gradient.abs().max().item())
        assert (found[name] - gradient).abs().max().item() < 1e-5 * scale, name


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_where_no_sample_has_an_image_a_blank_one_is_computed_and_learned_nothing_from(
    model_type: str, attention: str
) -> None:
    model, processor = tiny(model_type, attention)
    family = family_of(model_type)
    texts = [chat("What is a knee?", "A joint."), chat("And an elbow?", "Another joint, of the arm.")]
    encoded = [family.encode(processor, turns, None) for turns in texts]
    wanted = gradients(model, [alone(model, processor, sample) for sample in encoded])
    for rows in ([encoded], [[sample] for sample in encoded], [[sample] for sample in encoded * 9]):
        batch = family.collate(rows, pad_id=processor.tokenizer.pad_token_id)
        found = gradients(model, [together(model, batch)])
        vision = [found[name] for name, _ in model.named_parameters() if family.part_of(name) == "projector"]
        assert vision
        assert not any(gradient.any() for gradient in vision)
        times = sum(map(len, rows)) // len(encoded)
        assert all((found[name] - gradient * times).abs().max() < 1e-5 * times for name, gradient in wanted.items())


def test_the_blank_image_goes_where_it_takes_the_least_room() -> None:
    family, processor = family_of("llava"), tiny("llava").processor
    text = family.encode(processor, chat("What is a knee?", "A joint, between the thigh and the shin."), None)
    blank, length = len(text.extra["unseen_input_ids"]), len(text.input_ids)
    beside, below = (family.collate([[text]] * count, pad_id=0)["input_ids"].shape for count in (1, 30))
    assert beside == (1, length + blank)
    assert below == (31, max(length, blank))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_computing_activations_again_keeps_samples_apart(model_type: str) -> None:
    model = copy.deepcopy(tiny(model_type).model).train()
    batch = collated(model_type, LAYOUTS["rows of unlike length"])
    wanted = gradients(model, [together(model, batch)])
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    found = gradients(model, [together(model, batch)])
    assert all(torch.allclose(found[name], gradient, atol=1e-6) for name, gradient in wanted.items())


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_proof_can_fail(model_type: str, attention: str) -> None:
    """The two silent ways to let samples see each other change the loss, so the test above would see them."""
    model, _ = tiny(model_type, attention)
    batch = collated(model_type, LAYOUTS["one row"])
    right = together(model, batch).item()
    masked = together(model, {**batch, "attention_mask": torch.ones_like(batch["input_ids"])}).item()
    cached = together(model, batch, use_cache=True).item()
    assert masked != pytest.approx(right, rel=1e-5)
    assert cached != pytest.approx(right, rel=1e-5)


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_nobody_sees_the_padding(model_type: str, attention: str) -> None:
    model, _ = tiny(model_type, attention)
    layout = LAYOUTS["rows of unlike length"]
    losses = [together(model, collated(model_type, layout, pad_id=pad_id)).item() for pad_id in (3, 40)]
    assert losses[0] == losses[1]


def test_rows_are_padded_to_a_multiple() -> None:
    sample = Encoded(np.arange(5), np.arange(5), {})
    exact, even = (family_of("llava").collate([[sample]], pad_id=9, multiple_of=m)["input_ids"] for m in (1, 8))
    assert exact.tolist() == [[0, 1, 2, 3, 4]]
    assert even.tolist() == [[0, 1, 2, 3, 4, 9, 9, 9]]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_rows_may_be_laid_end_to_end_without_their_padding(model_type: str) -> None:
    model, _ = tiny(model_type)
    batch = collated(model_type, LAYOUTS["rows of unlike length"])
    flat = one_row(batch)
    tokens = sum(len(sample.input_ids) for sample in samples(model_type))
    assert flat["input_ids"].shape == (1, tokens) < (1, batch["input_ids"].numel())
    assert flat["position_ids"].shape[:-1] == (*batch["position_ids"].shape[:-2], 1)
    assert together(model, flat).item() == pytest.approx(together(model, batch).item(), rel=1e-6)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_batch_holds_what_its_samples_hold(model_type: str) -> None:
    encoded = samples(model_type)
    layout = LAYOUTS["rows of unlike length"]
    batch = collated(model_type, layout)
    supervised = sum(int((sample.labels[1:] != IGNORED).sum()) for sample in encoded)
    assert int((batch["labels"][:, 1:] != IGNORED).sum()) == supervised
    assert int((batch["labels"] != IGNORED).sum()) == supervised  # none is lost when labels are shifted
    assert "attention_mask" not in batch
    for row, numbers in zip(batch["input_ids"].tolist(), layout, strict=True):
        joined = np.concatenate([encoded[number].input_ids for number in numbers])
        assert row[: len(joined)] == joined.tolist()
    order = [number for row in layout for number in row if "pixel_values" in encoded[number].extra]
    pixels = np.concatenate([encoded[number].extra["pixel_values"] for number in order])
    assert np.array_equal(batch["pixel_values"].numpy(), pixels)


def test_the_first_token_of_a_sample_is_never_foretold_from_the_one_before_it() -> None:
    sample = Encoded(np.arange(4), np.arange(4), {})
    batch = family_of("llava").collate([[sample, sample], [sample]], pad_id=9)
    assert batch["labels"].tolist() == [[-100, 1, 2, 3, -100, 1, 2, 3], [-100, 1, 2, 3, *[-100] * 4]]
    assert batch["input_ids"].tolist()[1] == [0, 1, 2, 3, 9, 9, 9, 9]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2, 3], [0, 1, 2, 3, 0, 0, 0, 0]]


def test_text_positions_are_counted_beside_those_of_rows_and_columns() -> None:
    batch = collated("qwen2_vl", LAYOUTS["rows of unlike length"])
    text = batch["position_ids"][0]
    assert batch["position_ids"].shape == (4, *batch["input_ids"].shape)
    encoded = samples("qwen2_vl")
    for row, numbers in zip(text.tolist(), LAYOUTS["rows of unlike length"], strict=True):
        lengths = [len(encoded[number].input_ids) for number in numbers]
        wanted = [place for length in lengths for place in range(length)]
        assert row == [*wanted, *[0] * (len(row) - len(wanted))]
