"""A LLaVA of random weights, trained for two steps and exported, and what transformers answers with it.

    python tuned_llava.py FOLDER

Needs what training needs, so the environment of training runs it. Writes FOLDER/model, FOLDER/picture.png and
FOLDER/expected.json.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

QUESTION = "What is the person doing with the left arm?"
TOKENS = 12


def main(folder: Path) -> None:
    from tiny_families import picture

    from kpray.training.export import export

    folder.mkdir(parents=True, exist_ok=True)
    _save_base(folder / "base")
    _train(folder)
    export(str(folder / "run"), str(folder / "model"))
    picture().save(folder / "picture.png")
    (folder / "expected.json").write_text(json.dumps(_answer(folder)))


def _save_base(folder: Path) -> None:
    """As the other tests' tiny LLaVA, with the smallest attention heads that vLLM has on a CPU."""
    import torch
    from tiny_families import tiny
    from transformers import LlavaForConditionalGeneration

    small = tiny("llava")
    config = small.model.config
    config.text_config.update({"hidden_size": 64, "head_dim": 32})
    torch.manual_seed(1)
    model = LlavaForConditionalGeneration(config).float()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.15)
    model.save_pretrained(folder)
    small.processor.save_pretrained(folder)


def _train(folder: Path) -> None:
    import export_run
    import msgspec

    from kpray.training.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
    from kpray.training.manifest import TrainManifest, identity_of, versions, write_train_manifest

    config = TrainConfig(
        out=str(folder / "run"),
        data=DataConfig(path="data.json"),
        model=ModelConfig(name=str(folder / "base"), dtype="float32"),
        optim=OptimConfig(lr=1e-3, batch_size=1, accumulation=1),
    )
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    export_run.main(str(folder / "config.json"), "0", "1", port, str(folder / "logits.pt"))
    write_train_manifest(TrainManifest(config, identity_of(config), versions(), 1, steps=2))


def _answer(folder: Path) -> dict[str, Any]:
    """As the model card says how to ask; greedy, in float32."""
    import torch
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder / "model")
    model = AutoModelForImageTextToText.from_pretrained(folder / "model", dtype=torch.float32)
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}]
    text = processor.apply_chat_template(asked, add_generation_prompt=True)
    inputs = processor(images=Image.open(folder / "picture.png"), text=text, return_tensors="pt")
    blank = processor(images=Image.new("RGB", (90, 60)), text=text, return_tensors="pt")
    count = inputs["input_ids"].shape[1]
    answer, of_a_blank = (
        model.generate(**one, do_sample=False, max_new_tokens=TOKENS)[0, count:].tolist() for one in (inputs, blank)
    )
    return {"prompt_tokens": count, "answer": answer, "of_a_blank_picture": of_a_blank}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
    main(Path(sys.argv[1]))
