"""The model card: what a model was made of and how, with its loss curve as a picture."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from kpray.training.manifest import TrainManifest
from kpray.training.metrics import StepMetrics

_WIDTH, _HEIGHT = 760, 380
_LEFT, _TOP, _RIGHT, _BOTTOM = 64, 24, 16, 44
"""Of the loss curve, in pixels: the whole picture, and what is around the plot."""

_GREY, _LIGHT, _INK, _LINE = "#9aa5b1", "#e4e7eb", "#1f2933", "#0b69a3"
_MEMORY = 0.9
"""Weight of the past in the smoothed line."""


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
    yield "software", ", ".join(f"{name} {version}" for name, version in manifest.software.items())


def _data(manifest: TrainManifest) -> Iterator[tuple[str, str]]:
    data = manifest.data
    yield "fingerprint", f"`{data.get('fingerprint', 'unknown')}`"
    yield "records", f"{data.get('records', 0):,}"
    yield "tokens", f"{data.get('tokens', 0):,}, {data.get('supervised', 0):,} of them with loss"
    skipped = data.get("skipped") or {}
    yield "skipped", ", ".join(f"{reason} {count:,}" for reason, count in sorted(skipped.items())) or "none"


def _outcome(metrics: Sequence[StepMetrics]) -> str:
    last = [one.loss for one in metrics[-10:]]
    return f"Loss {metrics[0].loss:.4f} at the first step, {sum(last) / len(last):.4f} over the last {len(last)}.\n"


def _use(base: str, adapter: bool) -> str:
    model = "AutoModelForImageTextToText.from_pretrained"
    if adapter:
        lines = [
            "from peft import PeftModel",
            "from transformers import AutoModelForImageTextToText, AutoProcessor",
            f'base = {model}("{base if not Path(base).is_absolute() else Path(base).name}")',
            'model = PeftModel.from_pretrained(base, ".")',
        ]
    else:
        lines = [
            "from transformers import AutoModelForImageTextToText, AutoProcessor",
            f'model = {model}(".")',
        ]
    return "\n".join(["```python", *lines, 'processor = AutoProcessor.from_pretrained(".")', "```\n"])


def _table(header: tuple[str, str], rows: Iterator[tuple[str, str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in [header, ("---", "---"), *rows])


def loss_curve(losses: Sequence[tuple[int, float]]) -> bytes:
    """A picture of the loss by step, as PNG: each step in grey, smoothed in blue.

    Args:
        losses: Step and loss, at least one.
    """
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    low, high = _range([loss for _, loss in losses])
    first, last = losses[0][0], max(losses[-1][0], losses[0][0] + 1)

    def place(step: float, loss: float) -> tuple[float, float]:
        across = (step - first) / (last - first)
        up = (loss - low) / (high - low)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    font = ImageFont.load_default(13)
    for loss in (low + (high - low) * part / 4 for part in range(5)):
        draw.line([place(first, loss), place(last, loss)], fill=_LIGHT)
        draw.text((_LEFT - 8, place(first, loss)[1]), f"{loss:.2f}", fill=_INK, font=font, anchor="rm")
    for step in sorted({round(first + (last - first) * part / 4) for part in range(5)}):
        draw.text((place(step, low)[0], _HEIGHT - _BOTTOM + 8), f"{step:,}", fill=_INK, font=font, anchor="mt")
    draw.text((_LEFT, 4), "loss", fill=_INK, font=font)
    draw.text((_WIDTH - _RIGHT, _HEIGHT - 4), "step", fill=_INK, font=font, anchor="rb")
    draw.line([place(*point) for point in losses], fill=_GREY)
    draw.line([place(*point) for point in _smoothed(losses)], fill=_LINE, width=2)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _range(losses: Sequence[float]) -> tuple[float, float]:
    low, high = min(losses), max(losses)
    margin = 0.05 * (high - low) or 0.5
    return max(0.0, low - margin), high + margin


def _smoothed(losses: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Running means that forget; weights add up to one from the first step on (as Adam's moments)."""
    mean = weight = 0.0
    for step, loss in losses:
        mean = _MEMORY * mean + (1 - _MEMORY) * loss
        weight = _MEMORY * weight + (1 - _MEMORY)
        yield step, mean / weight
