"""A training step of a large LLaVA of random weights on a GPU: tokens a second, MFU, memory against the plan's.

Run from the repository's root, on a machine with a GPU::

    python benchmarks/train_gpu.py --size 1b --batch 8
    python benchmarks/train_gpu.py --size 7b --batch 4 --stage 3     # needs some 130 GB; see `kpray plan train`
    python benchmarks/train_gpu.py --tiny                            # anywhere: shows that it works, not how fast

One process, bfloat16, packed sequences of ``--length`` tokens, every sample with an image of 576 tokens; the vision
tower is frozen, as in the paper. Model, engine, batches, operations and the estimate of memory are kpray's own code;
`kpray.training.flops` says what MFU counts. The step is measured between two waits for the GPU, data in memory.

- ``MFU``: the model's operations over the GPU's bf16 peak; ``HFU`` counts those that checkpointing does again.
- ``memory, GiB``: the most that the driver gave to this process; ``planned`` is what `kpray plan train` expects.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import markdown
from train_parts import CLIP_L, Size, draw_pictures, save_llava, write_records

from kpray.training.batching import plan_steps
from kpray.training.config import DataConfig, DeepSpeedConfig, ModelConfig, OptimConfig, TrainConfig
from kpray.training.device import is_flash, memory_gb, peak_tflops
from kpray.training.encoder import count_supervised, load_encoder
from kpray.training.engine import Started, open_engine
from kpray.training.estimate import memory_of
from kpray.training.families import FORWARD_ARGUMENTS, one_row
from kpray.training.flops import training_flops, utilisation
from kpray.training.loads import Load
from kpray.training.model import read_model_config
from kpray.training.records import read_records
from kpray.training.shape import model_shape
from kpray.training.types import IGNORED, Record
from kpray.training.workload import typical_picture, workload_of

SIZES = {
    "tiny": Size(112, (96, 384, 3, 3), 128, 344, 2, 4, 4),
    "1b": Size(336, CLIP_L, 2048, 5632, 22, 32, 4, 32064),
    "3b": Size(336, CLIP_L, 3200, 8640, 26, 32, 32, 32064),
    "7b": Size(336, CLIP_L, 4096, 11008, 32, 32, 32, 32064),
}
"""The language models are of TinyLlama's, OpenLLaMA-3B's and Llama-2-7B's build."""

COLUMNS = {
    "size": ("size", None),
    "weights_b": ("weights, 1e9", 3),
    "batch": ("batch", 0),
    "attention": ("attention", None),
    "step_s": ("step, s", 3),
    "tokens_per_s": ("tokens/s", 0),
    "mfu": ("MFU", 3),
    "hfu": ("HFU", 3),
    "memory_gib": ("memory, GiB", 1),
    "planned_gib": ("planned", 1),
    "of_planned": ("of planned", 2),
}


def main() -> None:
    args = _arguments()
    with tempfile.TemporaryDirectory(prefix="kpray-gpu-") as folder:
        config, records = set_up(Path(folder), args)
        row = measure(config, records, args)
    print(markdown([row], COLUMNS))
    if args.json:
        print(json.dumps(row))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="1b")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, wherever this runs")
    parser.add_argument("--batch", type=int, default=4, help="packed sequences of a forward pass")
    parser.add_argument("--length", type=int, default=2048, help="tokens of each")
    parser.add_argument("--stage", type=int, choices=(0, 1, 2, 3), default=0, help="of ZeRO")
    parser.add_argument("--attention", help="as transformers names it; default: the best that is installed")
    parser.add_argument("--no-checkpointing", action="store_true", help="keep all activations")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm-up", type=int, default=3, help="steps that are not counted")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON as the last line")
    args = parser.parse_args()
    args.size = "tiny" if args.tiny else args.size
    if not args.tiny and not torch.cuda.is_available():
        parser.error("there is no GPU here; --tiny runs anywhere")
    return args


def set_up(folder: Path, args: argparse.Namespace) -> tuple[TrainConfig, list[Record]]:
    """Write the model and the records of all steps."""
    size = SIZES[args.size]
    samples = args.length // (size.image_px // 14) ** 2 * args.batch * (args.steps + args.warm_up)
    texts = write_records(folder / "data.json", draw_pictures(folder / "images", 8), samples)
    data = DataConfig(path=str(folder / "data.json"), images=str(folder / "images"), max_length=args.length)
    config = TrainConfig(
        out=str(folder / "out"),
        data=data,
        model=ModelConfig(
            name=str(save_llava(folder / "model", texts, size, dtype=torch.bfloat16)),
            attention=args.attention,
            gradient_checkpointing=not args.no_checkpointing,
        ),
        optim=OptimConfig(batch_size=args.batch, accumulation=1, max_steps=args.steps + args.warm_up),
        deepspeed=DeepSpeedConfig(stage=args.stage),
    )
    return config, [record for record in read_records(data) if isinstance(record, Record)]


def measure(config: TrainConfig, records: Sequence[Record], args: argparse.Namespace) -> dict[str, Any]:
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    encoder = load_encoder(config.model.name, config.data)
    encoded = [encoder.encode(record) for record in records]
    lengths = np.array([len(one.input_ids) for one in encoded])
    supervised = np.array([count_supervised(one) for one in encoded])
    plan = plan_steps(lengths, supervised, config.optim, config.data, seed=0, world=1)
    engine = open_engine(config, Started(0, 0, 1, "gpu", None), accumulation=1)
    seconds, tokens, flops = [], [], []
    model_config = read_model_config(config.model.name)
    shape, picture = model_shape(model_config, config.model), typical_picture(model_config)
    for step in range(plan.steps):
        rows = plan.rows(step)
        batch = encoder.collate([[encoded[number] for number in row] for row in rows])
        own = lengths[[number for row in rows for number in row]].astype(np.int64)
        seconds.append(_timed(_step(engine, batch), engine.device))
        tokens.append(int(own.sum()))
        load = Load(int(own.sum()), int((own**2).sum()), picture * len(own))
        flops.append(training_flops(shape, load, checkpointing=config.model.gradient_checkpointing))
    counted = range(args.warm_up, plan.steps)
    peak = peak_tflops(engine.device)
    work = [(flops[i].model, flops[i].hardware, seconds[i]) for i in counted]
    workload = workload_of(lengths.tolist(), pictures=len(lengths), picture=picture, source="made up")
    planned, used = memory_of(config, shape, workload, gpus=1).total / 2**30, _used_gib(engine.device)
    return {
        "size": args.size,
        "weights_b": shape.parameters / 1e9,
        "batch": args.batch,
        "attention": engine.module.config._attn_implementation,
        "step_s": statistics.median(seconds[i] for i in counted),
        "tokens_per_s": statistics.median(tokens[i] / seconds[i] for i in counted),
        "mfu": peak and statistics.median(utilisation(f, seconds=s, gpus=1, peak_tflops=peak) for f, _, s in work),
        "hfu": peak and statistics.median(utilisation(f, seconds=s, gpus=1, peak_tflops=peak) for _, f, s in work),
        "memory_gib": used,
        "planned_gib": planned,
        "of_planned": used / planned,
    }


def _step(engine: Any, batch: dict[str, torch.Tensor]) -> Callable[[], None]:
    """A step as `kpray.training.loop` takes it."""
    flat = one_row(batch) if is_flash(engine.module) else batch
    dtype = next(engine.module.parameters()).dtype
    placed = {
        name: value.to(engine.device, dtype if value.is_floating_point() else value.dtype)
        for name, value in flat.items()
    }
    scale = torch.tensor(float((batch["labels"][:, 1:] != IGNORED).sum()), device=engine.device)

    def take() -> None:
        loss = engine(**placed, **FORWARD_ARGUMENTS, num_items_in_batch=scale).loss
        engine.backward(loss, scale_wrt_gas=False)
        engine.step()

    return take


def _timed(work: Callable[[], None], device: torch.device) -> float:
    wait = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    wait()
    began = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - began


def _used_gib(device: torch.device) -> float:
    """Most that was in use: the GPU's memory with what the driver itself takes, else this process's."""
    if device.type != "cuda":
        return memory_gb(device) * 1e9 / 2**30
    free, total = torch.cuda.mem_get_info(device)
    return (total - free) / 2**30  # torch gives nothing back, so this is the peak


if __name__ == "__main__":
    main()
