"""Who writes the data. A new teacher is one module and one entry in `_TEACHERS`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from kpray.config import TeacherConfig, TeacherName
from kpray.errors import ConfigError
from kpray.ledger.prices import find_price
from kpray.teachers import vllm
from kpray.teachers.geometric import GeometricTeacher
from kpray.teachers.openai import OpenAITeacher, key_from_environment
from kpray.teachers.protocol import Teacher

__all__ = ["Teacher", "make_teacher", "model_name", "reads_scene"]


class _Entry(NamedTuple):
    model_name: Callable[[TeacherConfig], str]
    reads_scene: bool
    make: Callable[[TeacherConfig, int], Callable[[], Teacher]]


def _openai(settings: TeacherConfig, seed: int) -> Callable[[], Teacher]:
    price = find_price(settings.model, settings)
    return functools.partial(OpenAITeacher, settings, key_from_environment(settings.base_url), price=price)


def _vllm(settings: TeacherConfig, seed: int) -> Callable[[], Teacher]:
    raise ConfigError("the vllm teacher answers in bulk and cannot be asked one question; serve the model instead")


def _geometric(settings: TeacherConfig, seed: int) -> Callable[[], Teacher]:
    return functools.partial(GeometricTeacher, seed=seed)


_TEACHERS: dict[TeacherName, _Entry] = {
    "geometric": _Entry(lambda settings: GeometricTeacher.model, GeometricTeacher.reads_scene, _geometric),
    "openai": _Entry(lambda settings: f"openai/{settings.model}", OpenAITeacher.reads_scene, _openai),
    "vllm": _Entry(vllm.model_name, False, _vllm),
}


def model_name(settings: TeacherConfig) -> str:
    """``teacher/model`` as it stands in requests; nothing needs to be set up to know it."""
    return _TEACHERS[settings.name].model_name(settings)


def reads_scene(settings: TeacherConfig) -> bool:
    """Whether the teacher answers from the scene instead of the messages."""
    return _TEACHERS[settings.name].reads_scene


def make_teacher(settings: TeacherConfig, *, seed: int) -> Callable[[], Teacher]:
    """A recipe for the configured teacher, to be sent to the workers and called there.

    Secrets are read here, where the command runs: workers on other machines need not know them.

    Raises:
        TeacherError: Something it needs is missing.
    """
    return _TEACHERS[settings.name].make(settings, seed)
