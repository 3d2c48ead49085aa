"""GPUs: how much memory they have and how fast they are."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import msgspec

from kpray.errors import ConfigError

_TABLE = Path(__file__).with_name("gpus.yaml")
_SPEC = re.compile(r"\s*(?:(\d+)\s*[x*]\s*)?(\S.*?)\s*", re.IGNORECASE)
_NOISE = re.compile(r"nvidia|geforce|gb$|[^a-z0-9]")


class Gpu(msgspec.Struct, frozen=True):
    """One kind of GPU.

    Attributes:
        name: As in ``--gpus``.
        memory_mib: All of its memory, in MiB.
        bf16_tflops: Dense peak of its tensor cores, in 1e12 operations a second.
        device: A regular expression for the driver's name of it.
        source: Where the figures are from.
    """

    name: str
    memory_mib: int
    bf16_tflops: float
    device: str
    source: str

    @property
    def memory(self) -> int:
        """In bytes."""
        return self.memory_mib << 20


@functools.cache
def known_gpus() -> tuple[Gpu, ...]:
    """All that kpray knows."""
    return msgspec.yaml.decode(_TABLE.read_bytes(), type=tuple[Gpu, ...])


def parse_gpus(text: str) -> tuple[int, Gpu]:
    """How many GPUs of which kind: ``2xA100-80GB``, ``8 x h100``, ``RTX4090``.

    Raises:
        ConfigError: It names none that is known, or more than one kind.
    """
    spec = _SPEC.fullmatch(text)
    count, name = (int(spec[1] or 1), _key(spec[2])) if spec else (0, "")
    exact = [gpu for gpu in known_gpus() if name == _key(gpu.name)]
    fitting = exact or [gpu for gpu in known_gpus() if name and _key(gpu.name).startswith(name)]
    if count < 1 or len(fitting) != 1:
        names = ", ".join(gpu.name for gpu in (fitting or known_gpus()))
        raise ConfigError(f"`--gpus` takes a number and a kind, such as 2xA100-80GB; found {text!r}. Kinds: {names}")
    return count, fitting[0]


def gpu_of_device(device: str) -> Gpu | None:
    """The kind of a GPU by the name that its driver gives (`torch.cuda.get_device_name`); None if it is not known."""
    return next((gpu for gpu in known_gpus() if re.search(gpu.device, device)), None)


def _key(name: str) -> str:
    return _NOISE.sub("", name.lower().strip().removesuffix("gb"))
