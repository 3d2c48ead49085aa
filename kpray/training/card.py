"""The model card: what a model was made of and how, with its loss curve as a picture."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from kpray.training.manifest import TrainManifest
from kpray.training.metrics import StepMetrics

_WIDTH, _HEIGHT = 760, 380
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 24, 16, 44
"""Of the loss curve, in pixels: the whole picture, and what is around the plot."""

_GREY, _LIGHT, _INK, _LINE = "#9aa5b1", "#e4e7eb", "#1f2933", "#0b69a3"
_WINDOWS = 20
"""The smoothed line is a mean over this part of the steps around each."""

_SOFTWARE = ("kpray", "git_commit", "torch", "transformers", "deepspeed", "peft", "ray")
"""What the card names; `lineage.json` has all."""


def write_card(
    manifest: TrainManifest, metrics: Sequence[StepMetrics], folder: Path, *, step: int, adapter: bool
) -> None:
    """Write ``README.md`` and ``loss.png`` into a model's folder.

    Args:
        manifest: Of the run.
        metrics: Of its steps.
        folder: The model's.
        step: Steps that the weights had taken; later ones are not drawn.
        adapter: Whether the folder holds an adapter alone.
    """
    taken = [one for one in metrics if one.step <= step]
    if taken:
        (folder / "loss.png").write_bytes(loss_curve([(one.step, one.loss) for one in taken]))
    (folder / "README.md").write_text(render_card(manifest, taken, step=step, adapter=adapter), encoding="utf-8")


def render_card(manifest: TrainManifest, metrics: Sequence[StepMetrics], *, step: int, adapter: bool) -> str:
    """The card in Markdown, with the header that model hubs read."""
    base = manifest.config.model.name
    sections = [
        _header(base, adapter),
        f"# {Path(base).name}, tuned on keypoint-grounded instructions\n",
        _what(manifest, adapter),
        "## Training\n",
        _table(("what", "value"), _training(manifest, step)),
        *(["![Loss by step](loss.png)\n", _outcome(metrics)] if metrics else []),
        "## Data\n",
        _table(("what", "value"), _data(manifest)),
        "## Use\n",
        _use(base, adapter),
        "## Known limits\n",
        "- It learned from text about people that was written from annotations; check what it says about a picture.\n"
        "- Left and right are the person's own unless a side of the image is named.\n"
        "- The base model's licence and limits hold for this one as well.\n",
    ]
    return "\n".join(sections)


def _header(base: str, adapter: bool) -> str:
    library = "peft" if adapter else "transformers"
    # A folder is no name that a hub knows.
    known = f"base_model: {base}\n" if not Path(base).is_absolute() else ""
    return (
        f"---\nlanguage: en\nlibrary_name: {library}\npipeline_tag: image-text-to-text\n{known}"
        "tags:\n- human-pose\n- visual-instruction-tuning\n---\n"
    )


def _what(manifest: TrainManifest, adapter: bool) -> str:
    frozen = ", ".join(manifest.config.model.frozen) or "nothing"
    kind = "This is an adapter; it needs the base model. " if adapter else ""
    return (
        f"{kind}Made by kpray from `{Path(manifest.config.model.name).name}` (frozen: {frozen}). `lineage.json` has "
        "the whole configuration and the versions of the software.\n"
    )


def _training(manifest: TrainManifest, step: int) -> Iterator[tuple[str, str]]:
    config, optim = manifest.config, manifest.config.optim
    yield "steps", f"{step:,} of {manifest.steps:,}" if step != manifest.steps else f"{step:,}"
    yield "epochs", str(optim.epochs)
    yield "global batch", f"{manifest.global_batch:,} sequences ({config.data.batching})"
    yield "longest sequence", f"{config.data.max_length:,} tokens"
    parts = "".join(f", {part} {lr:g}" for part, lr in optim.part_lr.items())
    yield "learning rate", f"{optim.lr:g}{parts}, {optim.schedule}, warm-up {optim.warmup:g}"
    yield "optimizer", f"AdamW, betas {optim.betas[0]:g} and {optim.betas[1]:g}, weight decay {optim.weight_decay:g}"
    lora = config.model.lora
    yield "LoRA", f"rank {lora.rank}, alpha {lora.alpha}, dropout {lora.dropout:g}" if lora else "no"
    yield "numbers", config.model.dtype
    yield "DeepSpeed", f"ZeRO stage {config.deepspeed.stage}"
    yield "seed", str(config.seed)
    software = ((name, manifest.software[name]) for name in _SOFTWARE if name in manifest.software)
    yield "software", ", ".join(f"{name} {version}" for name, version in software)


def _data(manifest: TrainManifest) -> Iterator[tuple[str, str]]:
    data = manifest.data
    yield "fingerprint", f"`{data.get('fingerprint', 'unknown')}`"
    yield "records", f"{data.get('records', 0):,}"
    yield "tokens", f"{data.get('tokens', 0):,}, {data.get('supervised', 0):,} of them with loss"
    skipped = data.get("skipped") or {}
    yield "skipped", ", ".join(f"{reason} {count:,}" for reason, count in sorted(skipped.items())) or "none"


def _outcome(metrics: Sequence[StepMetrics]) -> str:
    last = [one.loss for one in metrics[-10:]]
    return (
        f"Loss {metrics[0].loss:.4f} at the first step, {sum(last) / len(last):.4f} over the last {len(last)}. "
        f"Grey: each step; blue: the mean of {2 * _reach(len(metrics)) + 1} steps around it.\n"
    )


_ASK = """\
processor = AutoProcessor.from_pretrained(".")

question = [{"type": "image"}, {"type": "text", "text": "What is the person doing?"}]
text = processor.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True)
inputs = processor(images=Image.open("picture.jpg"), text=text, return_tensors="pt")
answer = model.generate(**inputs, max_new_tokens=200)[0, inputs["input_ids"].shape[1] :]
print(processor.decode(answer, skip_special_tokens=True))"""


def _use(base: str, adapter: bool) -> str:
    model = "AutoModelForImageTextToText.from_pretrained"
    imports = ["from PIL import Image", "from transformers import AutoModelForImageTextToText, AutoProcessor", ""]
    if adapter:
        lines = [
            "from peft import PeftModel",
            *imports,
            f'base = {model}("{base if not Path(base).is_absolute() else Path(base).name}")',
            'model = PeftModel.from_pretrained(base, ".")',
        ]
    else:
        lines = [*imports, f'model = {model}(".")']
    return "\n".join(["```python", *lines, _ASK, "```\n"])


def _table(header: tuple[str, str], rows: Iterator[tuple[str, str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in [header, ("---", "---"), *rows])


def loss_curve(losses: Sequence[tuple[int, float]]) -> bytes:
    """A picture of the loss by step, as PNG: each step in grey, smoothed in blue.

    Args:
        losses: Step and loss, at least one.
    """
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    ticks = _ticks([loss for _, loss in losses])
    low, high = ticks[0], ticks[-1]
    first, last = losses[0][0], max(losses[-1][0], losses[0][0] + 1)

    def place(step: float, loss: float) -> tuple[float, float]:
        across = (step - first) / (last - first)
        up = (loss - low) / (high - low)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    font = ImageFont.load_default(13)
    for loss in ticks:
        draw.line([place(first, loss), place(last, loss)], fill=_LIGHT)
        draw.text((_LEFT - 8, place(first, loss)[1]), f"{loss:g}", fill=_INK, font=font, anchor="rm")
    for step in sorted({round(first + (last - first) * part / 4) for part in range(5)}):
        draw.text((place(step, low)[0], _HEIGHT - _BOTTOM + 8), f"{step:,}", fill=_INK, font=font, anchor="mt")
    draw.text((_LEFT, 4), "loss", fill=_INK, font=font)
    draw.text((_WIDTH - _RIGHT, _HEIGHT - 4), "step", fill=_INK, font=font, anchor="rb")
    draw.line([place(*point) for point in losses], fill=_GREY)
    draw.line([place(*point) for point in _smoothed(losses)], fill=_LINE, width=2)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _ticks(losses: Sequence[float]) -> list[float]:
    """Round numbers from below all losses to above them, four to eight of them.

    >>> _ticks([6.86, 0.64])
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    >>> _ticks([0.32, 0.21])
    [0.2, 0.22, 0.24, 0.26, 0.28, 0.3, 0.32]
    """
    low, high = min(losses), max(losses)
    extent = high - low or max(high, 1.0)
    power = 10.0 ** math.floor(math.log10(extent))
    step = power * next(part for part in (0.2, 0.5, 1.0, 2.0) if extent / (power * part) <= 7)
    first, last = math.floor(round(low / step, 6)), math.ceil(round(high / step, 6))
    return [round(step * tick, 10) for tick in range(first, max(last, first + 1) + 1)]


def _reach(steps: int) -> int:
    """How many steps before and behind are in a step's mean."""
    return steps // _WINDOWS // 2


def _smoothed(losses: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Means over the steps around each, as far as there are as many on both sides, so that no line lags behind."""
    sums = [0.0, *itertools.accumulate(loss for _, loss in losses)]
    for index, (step, _) in enumerate(losses):
        reach = min(_reach(len(losses)), index, len(losses) - 1 - index)
        yield step, (sums[index + reach + 1] - sums[index - reach]) / (2 * reach + 1)
