"""How ``tiny-base`` is made: a LLaVA that sees and captions, and has never been asked about a pose.

Trained end to end from nothing, a model of this size does not learn to look in minutes: the loss stops where a model
without eyes stops. So it is taught in stages, each of which has something to hold on to::

    sight      vision tower                 where the keypoints are
    speech     language model               captions and plain questions, without pictures
    looking    projector, language model    the same about pictures; the tower is frozen

Captions are those of kpray's drawn scenes. They name what somebody does ("waving", "sitting on a bench"), as COCO's do.
Plain questions are those that captions answer: who, where, in which colour. Nothing else about arms, legs or posture is
said to it, and no question about them is asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from safetensors.torch import load_file, save_file

from kpray.coco.synthetic import as_scene, synthesize
from kpray.schemas import KIND_NAMES, Scene
from kpray.teachers.geometric import compose
from kpray.training.tiny import sight
from kpray.training.tiny.fitting import Plan
from kpray.training.tiny.model import build_model, build_processor, build_tokenizer
from kpray.training.tiny.scenes import Drawn, draw
from kpray.training.tiny.speech import encode_turns, learn_to_look, learn_to_speak, plain_samples

SERIES: Final = 1000
"""Seed of the series of scenes that the base is taught on; data sets and exams use others."""

_SCENES_READ: Final = 400
"""Whose texts the tokenizer's pieces are learned from."""


class Recipe(msgspec.Struct, frozen=True):
    """What the stages take.

    Attributes:
        pictures: Drawn scenes with one person.
        held_out: The last of them, which stage 0 only proves itself on.
        seed: Of weights, orders and draws.
        sight: Stage 0.
        speech: Text alone.
        looking: Stage 1.
    """

    pictures: int = 12000
    held_out: int = 256
    seed: int = 0
    sight: Plan = Plan(steps=12000, log_every=500)
    speech: Plan = Plan(steps=100, lr=2e-3)
    looking: Plan = Plan(steps=1500, lr=2e-3)


def make_base(recipe: Recipe, *, work: Path, out: Path) -> dict[str, float]:
    """Make the model and its processor, going on where an earlier call with this recipe stopped.

    Args:
        recipe: What the stages take.
        work: Pictures and the weights after each stage are kept here.
        out: The folder that transformers loads.

    Returns:
        Figures by name: losses, and the tower's accuracy on held-out pictures.
    """
    drawn = draw(count=recipe.pictures, seed=SERIES + recipe.seed, folder=work)
    samples = plain_samples(drawn.captions, seed=recipe.seed)
    said = [turn.value for _, turns in samples for turn in turns]
    processor = build_processor(build_tokenizer([*teacher_texts(recipe.seed), *said]))
    model = build_model(processor.tokenizer, seed=recipe.seed)
    run = _Stages(model, recipe, work)
    run.stage("sight", ("vision_tower",), lambda: _sight(model, drawn, recipe))
    texts = encode_turns(processor, samples, with_image=False)
    run.stage("speech", ("language_model",), lambda: {"speech_loss": learn_to_speak(model, texts, recipe.speech)})
    seen = encode_turns(processor, samples, with_image=True)
    run.stage(
        "looking",
        ("multi_modal_projector", "language_model"),
        lambda: {"looking_loss": learn_to_look(model, seen, drawn.images, recipe.looking)},
    )
    model.generation_config.max_new_tokens = 96
    model.to(torch.bfloat16).save_pretrained(out)  # as it is trained and served; half the size
    processor.save_pretrained(out)
    return run.figures


def teacher_texts(seed: int) -> list[str]:
    """What kpray's teacher and the captions of drawn scenes say, and the words of the conversation itself."""
    system = (
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions. USER: ASSISTANT:"
    )
    scenes = [as_scene(synthesize(index, SERIES + seed)) for index in range(_SCENES_READ)]
    return [system] * 100 + [text for scene in scenes for text in _texts_of(scene, seed)]


def _texts_of(scene: Scene, seed: int) -> Iterator[str]:
    yield from scene.captions
    for kind in KIND_NAMES:
        for exchange in compose(kind, scene, seed=seed):
            yield from (exchange.question, exchange.answer)


class _Stages:
    """Runs each stage once; the parts that it taught are kept, and read back by a later call."""

    def __init__(self, model: Any, recipe: Recipe, work: Path) -> None:
        self.figures: dict[str, float] = {}
        self._model, self._recipe, self._work = model, recipe, work
        self._before: list[Plan] = []

    def stage(self, name: str, parts: tuple[str, ...], learn: Callable[[], dict[str, float]]) -> None:
        weights = self._work / f"{name}-{self._key(name)}.safetensors"
        told = weights.with_suffix(".json")
        if told.exists():
            self._model.load_state_dict(load_file(weights), strict=False)
            self.figures |= json.loads(told.read_text())
            print(f"{name}: taken from {weights}", flush=True)
            return
        print(f"{name} ...", flush=True)
        figures = learn()
        state = self._model.state_dict().items()
        save_file({key: weight for key, weight in state if key.split(".")[1] in parts}, weights)
        told.write_text(json.dumps(figures))
        self.figures |= figures
        print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()), flush=True)

    def _key(self, name: str) -> str:
        """What the weights after this stage follow from, hashed; later stages do not count."""
        recipe = self._recipe
        self._before.append(getattr(recipe, name))
        known = (recipe.pictures, recipe.held_out, recipe.seed, self._before)
        return hashlib.blake2b(msgspec.json.encode(known), digest_size=4).hexdigest()


def _sight(model: Any, drawn: Drawn, recipe: Recipe) -> dict[str, float]:
    at = len(drawn.images) - recipe.held_out
    return sight.learn_to_see(model, drawn.part(slice(at)), recipe.sight, drawn.part(slice(at, None)))
