"""Several samples in a sequence against padding and against length grouping: real tokens a second, and the losses.

Run from the repository's root, with the run's folder (its lengths count; its images are not looked at)::

    kpray generate --captions CAPTIONS --keypoints KEYPOINTS --instances INSTANCES --out runs/val2017
    python benchmarks/train_packing.py --data runs/val2017 --json

Batches are planned and collated by kpray's own code: ``padded`` takes samples as they come, ``grouped`` those of like
length, ``packed`` puts several into one sequence of ``--room`` tokens. Every micro-batch of padded and grouped has
``--batch`` samples, as the authors' script for LLaVA-1.5 (16); packed has as many sequences as make about the same
number of tokens. A global batch is 128 samples' worth. Lengths depend on the image (0, 64 or 576 tokens; LLaVA-1.5 has
576) and on the tokenizer, which is learned from the dataset itself, as Llama's is not at hand.

1. ``Share of padding``: counted over all records, for some batch sizes. ``bound`` is how many times as fast packed
   would be than padded if time went by places in the batch alone.
2. ``Tokens a second``: forward and backward of one process with one thread, on ``--batches`` micro-batches of an epoch
   each way, taken evenly from its smallest to its largest, the ways in turn. Tokens are real ones; CPU time is what to
   read on a busy machine.
3. ``Losses``: 32 records again and again, the same samples at the same steps of AdamW, packed and padded, from the same
   weights.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import torch
from measuring import markdown
from train_parts import Size, draw_pictures, save_llava
from transformers import AutoModelForImageTextToText

from kpray.schemas import IMAGE_TOKEN, Turn
from kpray.training.batching import StepPlan, plan_steps
from kpray.training.config import DataConfig, OptimConfig
from kpray.training.encoder import Encoder, count_supervised, load_encoder
from kpray.training.families import FORWARD_ARGUMENTS
from kpray.training.records import read_records
from kpray.training.types import Encoded, Record

Way = Literal["padded", "grouped", "packed"]
WAYS: tuple[Way, ...] = ("padded", "grouped", "packed")
PARTS = ("padding", "speed", "losses")
GLOBAL_SAMPLES = 128
IMAGE_TOKENS = {0: 0, 112: 64, 336: 576}
ROOMS = {0: 512, 112: 512, 336: 2048}
"""Tokens of a packed sequence, by the side of the image; the longest sample must fit."""

PADDING = {
    "image_tokens": ("image tokens", 0),
    "mean": ("tokens, mean", 0),
    "longest": ("longest", 0),
    "batch": ("batch", 0),
    "padded": ("padded", 3),
    "grouped": ("grouped", 3),
    "packed": ("packed", 3),
    "bound": ("bound", 2),
}
SPEED = {
    "image_tokens": ("image tokens", 0),
    "way": ("way", None),
    "batches": ("micro-batches", 0),
    "padding": ("padding", 3),
    "per_cpu_s": ("tokens / CPU s", 0),
    "per_s": ("tokens / s", 0),
    "of_padded": ("of padded (CPU)", 2),
    "of_grouped": ("of grouped (CPU)", 2),
}
LOSSES = {
    "image_tokens": ("image tokens", 0),
    "steps": ("steps", 0),
    "first": ("first loss", 4),
    "last": ("last loss", 4),
    "difference": ("largest difference", None),
}


class Made(NamedTuple):
    """A micro-batch, ready for the model.

    Attributes:
        tensors: The model's keyword arguments.
        tokens: Real ones.
        places: Rows times their length.
        supervised: Tokens with loss in it.
    """

    tensors: dict[str, torch.Tensor]
    tokens: int
    places: int
    supervised: int


class Samples:
    """The records, encoded when they are asked for; their images are drawn pictures."""

    def __init__(self, records: Sequence[Record], encoder: Encoder, *, pictured: bool) -> None:
        self._records, self._encoder, self._pictured = records, encoder, pictured

    def __getitem__(self, number: int) -> Encoded:
        record = self._records[number]
        if not self._pictured:
            return self._encoder.encode(_as_text(record))
        return self._encoder.encode(msgspec.structs.replace(record, image=f"{number % 8:04}.jpg"))

    def make(self, rows: Sequence[Sequence[int]]) -> Made:
        """A micro-batch."""
        encoded = [[self[number] for number in row] for row in rows]
        tensors = self._encoder.collate(encoded)
        samples = [one for row in encoded for one in row]
        tokens = sum(len(one.input_ids) for one in samples)
        return Made(tensors, tokens, tensors["input_ids"].numel(), sum(map(count_supervised, samples)))


def main() -> None:
    args = _arguments()
    torch.set_num_threads(1)
    records = [record for record in read_records(DataConfig(path=args.data)) if isinstance(record, Record)]
    counted, speeds, losses = [], [], []
    for side in args.image_px:
        with tempfile.TemporaryDirectory(prefix="kpray-packing-") as folder:
            model, encoder = set_up(Path(folder), records, side, args)
            texts = _text_lengths(records, encoder)
            lengths = (texts[0] + IMAGE_TOKENS[side], texts[1])
            samples = Samples(records, encoder, pictured=side > 0)
            counted += padding(lengths, side, args) if "padding" in args.parts else []
            speeds += speed(model, samples, lengths, side, args) if "speed" in args.parts else []
            losses += [compare_losses(model, samples, side, args)] if "losses" in args.parts else []
    for title, rows, columns in (
        ("Share of padding", counted, PADDING),
        ("Tokens a second", speeds, SPEED),
        ("Losses", losses, LOSSES),
    ):
        if rows:
            print(f"\n{title}\n\n{markdown(rows, columns)}")
    if args.json:
        print(json.dumps({"padding": counted, "speed": speeds, "losses": losses}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="RUN", help="folder of a `kpray generate` run")
    parser.add_argument("--image-px", type=int, nargs="+", choices=tuple(IMAGE_TOKENS), default=[0, 112, 336])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--batches", type=int, default=24, help="micro-batches of each way, for tokens a second")
    parser.add_argument("--batch", type=int, default=16, help="samples of a padded micro-batch")
    parser.add_argument("--room", type=int, help="tokens of a packed sequence; default 512, with 576 image tokens 2048")
    parser.add_argument("--width", type=int, default=384, help="of the language model's rows")
    parser.add_argument("--loss-steps", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON as the last line")
    return parser.parse_args()


def set_up(folder: Path, records: Sequence[Record], side: int, args: argparse.Namespace) -> tuple[Any, Encoder]:
    """A small model of random weights whose images have that many pixels, and its encoder."""
    texts = (turn.value for record in records for turn in record.turns)
    size = Size(side or 112, (96, 384, 3, 3), args.width, args.width * 43 // 16, 2, args.width // 64, args.width // 64)
    save_llava(folder / "model", texts, size)
    draw_pictures(folder / "images", 8)
    encoder = load_encoder(
        str(folder / "model"), DataConfig(path=args.data, images=str(folder / "images"), max_length=1 << 20)
    )
    model = AutoModelForImageTextToText.from_pretrained(folder / "model", dtype=torch.float32)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(encoder.family.part_of(name) != "vision")
    return model, encoder


def _as_text(record: Record) -> Record:
    first = Turn(record.turns[0].role, record.turns[0].value.replace(IMAGE_TOKEN, "").strip())
    return Record(record.record_id, None, (first, *record.turns[1:]))


def _text_lengths(records: Sequence[Record], encoder: Encoder) -> tuple[Any, Any]:
    """Tokens of every record without its image, and those with loss."""
    return _sizes([encoder.encode(_as_text(record)) for record in records])


def plan(tokens: Any, supervised: Any, way: Way, *, batch: int, room: int) -> StepPlan:
    """Plan an epoch as kpray does, for one worker; a step is about as many samples in all ways."""
    rows = max(1, round(batch * float(tokens.mean()) / room)) if way == "packed" else batch
    optim = OptimConfig(batch_size=rows, accumulation=GLOBAL_SAMPLES // batch)
    data = DataConfig(path="", batching=way, max_length=room if way == "packed" else int(tokens.max()))
    return plan_steps(tokens, supervised, optim, data, seed=0, world=1)


def _micro_batches(planned: StepPlan) -> Iterator[tuple[tuple[int, ...], ...]]:
    for step in range(planned.steps):
        yield from (rows for rows in planned.micro_batches(step, 0, 1) if rows)


def padding(lengths: tuple[Any, Any], side: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Share of the places that hold no token, over all records."""
    tokens, supervised = lengths
    rows = []
    for batch in (8, 16, 32):
        shares = {}
        for way in WAYS:
            planned = plan(tokens, supervised, way, batch=batch, room=args.room or ROOMS[side])
            places = sum(
                len(some) * max(int(tokens[list(row)].sum()) for row in some) for some in _micro_batches(planned)
            )
            shares[way] = 1 - int(tokens.sum()) / places
        bound = (1 - shares["packed"]) / (1 - shares["padded"])
        figures = {"image_tokens": IMAGE_TOKENS[side], "mean": float(tokens.mean()), "longest": int(tokens.max())}
        rows.append(figures | {"batch": batch} | shares | {"bound": bound})
    return rows


def speed(
    model: Any, samples: Samples, lengths: tuple[Any, Any], side: int, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Some micro-batches of an epoch each way, in turn."""
    chosen = {}
    for way in WAYS:
        planned = plan(*lengths, way, batch=args.batch, room=args.room or ROOMS[side])
        chosen[way] = _spread(list(_micro_batches(planned)), lengths[0], args.batches)
    spent: dict[Way, list[tuple[float, float, int, int]]] = {way: [] for way in WAYS}
    _forward_backward(model, samples.make(chosen["padded"][0]))
    for turn in zip(*chosen.values(), strict=True):
        for way, rows in zip(WAYS, turn, strict=True):
            made = samples.make(rows)
            spent[way].append((*_forward_backward(model, made), made.tokens, made.places))
    sums = {way: np.sum(np.array(spent[way]), axis=0) for way in WAYS}
    rates = {way: sums[way][2] / sums[way][1] for way in WAYS}
    return [
        {
            "image_tokens": IMAGE_TOKENS[side],
            "way": way,
            "batches": len(chosen[way]),
            "padding": 1 - float(sums[way][2] / sums[way][3]),
            "per_cpu_s": float(rates[way]),
            "per_s": float(sums[way][2] / sums[way][0]),
            "of_padded": float(rates[way] / rates["padded"]),
            "of_grouped": float(rates[way] / rates["grouped"]),
        }
        for way in WAYS
    ]


def _spread(batches: Sequence[Any], tokens: Any, count: int) -> list[Any]:
    """So many of an epoch's micro-batches, from the one with the fewest tokens to the one with the most, shuffled."""
    by_tokens = sorted(batches, key=lambda rows: sum(int(tokens[number]) for row in rows for number in row))
    places = ((np.arange(count) + 0.5) * len(by_tokens) / count).astype(int)
    return random.Random(0).sample([by_tokens[place] for place in places], count)


def _sizes(encoded: Sequence[Encoded]) -> tuple[Any, Any]:
    return np.array([len(one.input_ids) for one in encoded]), np.array([count_supervised(one) for one in encoded])


def _forward_backward(model: Any, made: Made, scale: int | None = None) -> tuple[float, float]:
    """Wall and CPU seconds of a forward and a backward pass."""
    wall, cpu = time.perf_counter(), time.process_time()
    _loss(model, made, scale or made.supervised).backward()
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    if scale is None:
        model.zero_grad()
    return seconds


def _loss(model: Any, made: Made, scale: int) -> Any:
    return model(**made.tensors, **FORWARD_ARGUMENTS, num_items_in_batch=torch.tensor(float(scale))).loss


def compare_losses(model: Any, samples: Samples, side: int, args: argparse.Namespace) -> dict[str, Any]:
    """The losses of some steps with each step's samples packed, and padded."""
    tokens, supervised = _sizes([samples[number] for number in range(32)])
    room = args.room or ROOMS[side]
    rows = 2 if room > 1024 else 4
    optim = OptimConfig(batch_size=rows, accumulation=1, epochs=100, max_steps=args.loss_steps)
    planned = plan_steps(tokens, supervised, optim, DataConfig(path="", max_length=room), seed=0, world=1)
    packed = [planned.rows(step) for step in range(planned.steps)]
    padded = [[(number,) for row in rows for number in row] for rows in packed]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    curves = []
    for steps in (packed, padded):
        model.load_state_dict(weights)
        curves.append(_train(model, [samples.make(rows) for rows in steps]))
    apart = max(abs(a - b) for a, b in zip(*curves, strict=True))
    return {
        "image_tokens": IMAGE_TOKENS[side],
        "steps": planned.steps,
        "first": curves[0][0],
        "last": curves[0][-1],
        "difference": f"{apart:.1e}",
    }


def _train(model: Any, steps: Sequence[Made]) -> list[float]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for made in steps:
        loss = _loss(model, made, made.supervised)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    main()
