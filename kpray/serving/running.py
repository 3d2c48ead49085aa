"""`kpray serve`: the application started from a terminal, and ended with it."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from kpray.errors import ConfigError, KprayError
from kpray.serving.config import ModelAppConfig

APPLICATION: Final = "kpray"

_PACKAGES: Final = ("fastapi", "prometheus_client", "torch", "transformers", "uvicorn")


def require_packages() -> None:
    """Refuse to start without what the ``serve`` extra installs.

    Raises:
        ConfigError: With the command that installs it.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"`kpray serve` needs {', '.join(missing)}, not installed here: pip install 'kpray[serve]'")


def model_folder(path: str) -> str:
    """Where the model is: `path` itself, or ``path/model`` for the folder of a `kpray train` run."""
    inside = Path(path).expanduser() / "model"
    return str(inside) if (inside / "config.json").is_file() else path


def model_name(path: str) -> str:
    """A name for a model in a folder, or of a hub.

    >>> model_name("runs/paper-7b/model"), model_name("llava-hf/llava-1.5-7b-hf")
    ('paper-7b', 'llava-1.5-7b-hf')
    """
    parts = Path(path).expanduser().absolute().parts if path in (".", "..") else Path(path).parts
    return parts[-2] if len(parts) > 1 and parts[-1] == "model" else parts[-1]


def check_before_start(args: dict[str, Any], *, host: str, port: int) -> tuple[ModelAppConfig, str]:
    """Look at all that can be looked at without a cluster.

    Returns:
        The configuration with absolute paths, and a sentence on who may ask.

    Raises:
        ConfigError: A model cannot be served, the port is taken, or the address is open and has no key.
    """
    from kpray.serving.access import Keys, require_keys_or_loopback
    from kpray.serving.engines.loading import read_card
    from kpray.serving.model_app import checked_config

    config = checked_config(args)
    env = config.address.keys_env
    who = require_keys_or_loopback(host, Keys.from_environment(env), keys_env=env)
    for served in config.models:
        read_card(served, engine=served.engine)
    if not os.environ.get("RAY_ADDRESS"):
        _check_free(host, port)
    return config, who


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"{host}:{port} cannot be bound ({error.strerror}); choose another --port") from error


def run_until_stopped(config: ModelAppConfig, *, host: str, port: int, on_ready: Callable[[], None]) -> None:
    """Start the application on the Ray cluster that is there, wait for Ctrl-C or SIGTERM, and let it drain.

    Raises:
        KprayError: It did not start.
    """
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(http_options={"host": host, "port": port})
    _check_address(host, port)
    try:
        _deploy(config)
        on_ready()
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        serve.delete(APPLICATION)  # what is being answered is answered; nothing new is taken


def _deploy(config: ModelAppConfig) -> None:
    from ray import serve

    from kpray.serving.model_app import build_app

    try:
        serve.run(build_app(msgspec.to_builtins(config)), name=APPLICATION, route_prefix="/")
    except RuntimeError as error:
        raise KprayError(f"the application did not start: {error}") from error


def _check_address(host: str, port: int) -> None:
    """Serve has one address for a whole cluster, and whoever came first chose it."""
    from ray.serve.context import _get_global_client

    found = _get_global_client().http_config
    if (found.host, found.port) != (host, port):
        raise ConfigError(
            f"Serve runs on this cluster already and listens at {found.host}:{found.port}; give --host {found.host} "
            f"--port {found.port}, or end it with `serve shutdown`"
        )
