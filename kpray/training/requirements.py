"""What must hold before a run starts, looked at in the order in which it is cheap."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import msgspec

from kpray import storage
from kpray.errors import ConfigError, InputError
from kpray.training.config import TrainConfig
from kpray.training.manifest import open_manifest

_PACKAGES = ("torch", "transformers", "deepspeed", "accelerate")


def require_packages() -> None:
    """Refuse to start without what the ``train`` extra installs.

    Raises:
        ConfigError: With the command that installs it.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"`kpray train` needs {', '.join(missing)}, not installed here: pip install 'kpray[train]'")


def check_before_start(config: TrainConfig) -> TrainConfig:
    """Look at all that can be looked at without a cluster; returns the configuration with absolute paths.

    Raises:
        ConfigError: The folder holds another run, the model or a package is not there, or a figure means nothing.
        InputError: The data is not there.
    """
    config = with_absolute_paths(config)
    _check_figures(config)
    if not storage.exists(config.data.path):
        raise InputError(
            f"`data.path`: there is no {config.data.path}. Expected the folder of a `kpray generate` run, or a file in "
            "LLaVA's form"
        )
    if config.model.lora and importlib.util.find_spec("peft") is None:
        raise ConfigError("`model.lora` needs the package peft: pip install peft")
    open_manifest(config)

    from kpray.training.families import family_of
    from kpray.training.metrics import require_trackers
    from kpray.training.model import read_model_config

    require_trackers(config.report_to)
    family_of(read_model_config(config.model.name).model_type)
    return config


def with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """The same with paths that mean the same in every process; Ray's workers have folders of their own."""
    data = msgspec.structs.replace(
        config.data, path=_absolute(config.data.path), images=config.data.images and _absolute(config.data.images)
    )
    model, name = config.model, Path(config.model.name).expanduser()
    if name.exists():
        model = msgspec.structs.replace(model, name=str(name.absolute()))
    return msgspec.structs.replace(config, out=_absolute(config.out), data=data, model=model)


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).expanduser().absolute())


def _check_figures(config: TrainConfig) -> None:
    optim, workers = config.optim, config.workers
    at_least_one = {
        "optim.epochs": optim.epochs,
        "optim.batch_size": optim.batch_size,
        "optim.accumulation": optim.accumulation,
        "optim.global_batch": optim.global_batch,
        "optim.max_steps": optim.max_steps,
        "data.limit": config.data.limit,
        "data.max_length": config.data.max_length,
        "checkpoint.every_steps": config.checkpoint.every_steps,
        "checkpoint.keep": config.checkpoint.keep,
        "workers.count": workers.count,
        "workers.least": workers.least,
        "workers.threads": workers.threads,
        "log_every": config.log_every,
    }
    for key, value in at_least_one.items():
        if value is not None and value < 1:
            raise ConfigError(f"`{key}` must be at least 1; found {value}")
    if optim.lr <= 0:
        raise ConfigError(f"`optim.lr` must be above 0; found {optim.lr}")
    if not 0 <= optim.warmup < 1:
        raise ConfigError(f"`optim.warmup` is a share of the steps, 0 or more and below 1; found {optim.warmup}")
    if workers.least is not None and workers.least > workers.count:
        raise ConfigError(f"`workers.least` {workers.least} is above `workers.count` {workers.count}")
