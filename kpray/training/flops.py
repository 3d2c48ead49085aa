"""How many floating point operations training takes, from a model's shape and the work it is given.

Counted are the matrix products, as is usual for model FLOPs utilisation (Chowdhery et al. 2022, PaLM, appendix B): a
multiplication and an addition are two operations, attention counts all pairs of a sample's tokens although a kernel may
leave out those that a causal mask hides, and the backward pass of a product is two more, one for the gradient of the
weights and one for the gradient of the input. What does not learn needs the first of them not; what has nothing before
it that learns needs the second not.

Under LoRA and where pictures or projector learn, gradients flow through the whole language model, whether its own
weights learn or not.
"""

from __future__ import annotations

import msgspec

from kpray.training.loads import ImageLoad, Load
from kpray.training.shape import ModelShape, PartShape


class Flops(msgspec.Struct, frozen=True):
    """Floating point operations of training on some samples.

    Attributes:
        forward: Of the forward pass.
        backward: Of the backward pass.
        again: Of computing activations a second time, where gradient checkpointing does not keep them.
    """

    forward: float
    backward: float
    again: float = 0.0

    @property
    def model(self) -> float:
        """What the model needs: the numerator of MFU."""
        return self.forward + self.backward

    @property
    def hardware(self) -> float:
        """What the GPU computes: the numerator of HFU."""
        return self.model + self.again


def training_flops(shape: ModelShape, load: Load, *, checkpointing: bool) -> Flops:
    """Operations of one forward and backward pass over some samples, on all workers together.

    Args:
        shape: The model, with what of it learns.
        load: The samples.
        checkpointing: Whether the layers' activations are computed again in the backward pass.
    """
    vision = _Work.of_vision(shape.vision, load.images)
    projector = _Work.of_projector(shape.projector, load.images)
    language = _Work.of_language(shape.language, load)
    before_language = shape.vision.learns or shape.projector.learns
    backward = (
        _backward(shape.vision, vision, before=False)
        + _backward(shape.projector, projector, before=shape.vision.learns)
        + _backward(shape.language, language, before=before_language or shape.language.learning > 0)
    )
    again = language.again + (vision.again if shape.vision.learns else 0)
    forward = vision.forward + projector.forward + language.forward
    return Flops(forward, backward, again if checkpointing else 0.0)


def utilisation(flops: float, *, seconds: float, gpus: int, peak_tflops: float) -> float:
    """Share of the GPUs' peak: MFU from `Flops.model`, HFU from `Flops.hardware`."""
    return flops / (seconds * gpus * peak_tflops * 1e12)


class _Work(msgspec.Struct, frozen=True):
    """Operations of one part's forward pass."""

    first: float
    products: float
    head: float
    lora: float
    attention: float
    idle: float
    last: float

    @property
    def forward(self) -> float:
        return self.first + self.head + self.in_layers

    @property
    def in_layers(self) -> float:
        return self.products + self.lora + self.attention

    @property
    def again(self) -> float:
        """What checkpointing computes twice: torch stops at the last number that the backward pass needs."""
        return self.in_layers - self.idle - self.last

    @classmethod
    def of_vision(cls, part: PartShape, images: ImageLoad) -> _Work:
        attention = part.pairs * images.pairs + part.window_pairs * images.window_pairs
        idle = part.idle * images.rows + part.idle_pairs * images.pairs
        first, products, last = part.first * images.patches, part.layers * images.rows, part.last * images.rows
        return cls(first, products, 0, 0, attention, idle, last)

    @classmethod
    def of_projector(cls, part: PartShape, images: ImageLoad) -> _Work:
        return cls(part.first * images.projected, part.layers * images.projected, 0, 0, 0, 0, 0)

    @classmethod
    def of_language(cls, part: PartShape, load: Load) -> _Work:
        products, head, lora = (flops * load.tokens for flops in (part.layers, part.head, part.lora))
        last = 0 if lora else part.last * load.tokens  # an adapter comes behind a layer's last product
        return cls(0, products, head, lora, part.pairs * load.pairs, 0, last)


def _backward(part: PartShape, work: _Work, *, before: bool) -> float:
    """Operations of a part's backward pass; `before` tells whether its input needs a gradient."""
    if not (part.learning or before):
        return 0.0
    products = work.first + work.products + work.head - work.idle
    weights = products if part.learns else 0.0
    inputs = products - (0.0 if before else work.first)
    attention = 2 * work.attention
    return weights + inputs + attention + 2 * work.lora
