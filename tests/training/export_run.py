"""One worker of a short training run, in a process of its own: real DeepSpeed engine, real checkpoint, no Ray.

    python export_run.py CONFIG.json RANK WORLD PORT LOGITS.pt

Takes two steps on one batch, writes a checkpoint as `kpray train` does, and saves the logits of the trained model.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(config_file: str, rank: str, world: str, port: str, logits_file: str) -> None:
    os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"MASTER_PORT": port, "DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}

    import msgspec
    import torch

    from kpray.training.checkpoint_writer import CheckpointWriter
    from kpray.training.config import TrainConfig
    from kpray.training.engine import Started, open_engine

    torch.set_num_threads(1)
    config = msgspec.json.decode(Path(config_file).read_bytes(), type=TrainConfig)
    engine = open_engine(config, Started(int(rank), int(rank), int(world), "0a", None), accumulation=1)
    batch = example(config.model.name)
    for _ in range(2):
        for group in engine.optimizer.param_groups:
            group["lr"] = config.optim.lr
        engine.backward(engine(**batch).loss)
        engine.step()
    writer = CheckpointWriter(config.out, keep=1, start="0a", rank=int(rank), world=int(world))
    writer.save(engine, 2)
    assert writer.settle() is None
    engine.eval()
    with torch.no_grad():
        logits = engine(**batch).logits
    if rank == "0":
        torch.save(logits, logits_file)


def example(model: str) -> dict[str, object]:
    """The model's arguments for one sample with a picture."""
    from tiny_families import chat, picture

    from kpray.training.families import family_of, load_processor
    from kpray.training.model import read_model_config

    processor = load_processor(model)
    family = family_of(read_model_config(model).model_type)
    said = chat("<image>\nWhat is the person doing?", "The person's left arm is raised.")
    encoded = family.encode(processor, said, picture())
    return {"use_cache": False, **family.collate([[encoded]], pad_id=processor.tokenizer.pad_token_id)}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(*sys.argv[1:])
