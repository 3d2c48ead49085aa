"""The application of ``serve/model.yaml``: one deployment per model, and the address in front of them.

::

    serve run serve/model.yaml
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import ray
from fastapi import FastAPI
from ray import serve
from ray.serve.context import _get_global_client

from kpray.config import load_config
from kpray.errors import ConfigError
from kpray.serving.access import Keys, require_keys_or_loopback
from kpray.serving.config import AddressConfig, ModelAppConfig, ScalingConfig, ServedModel
from kpray.serving.engines.choose import Choice, choose, vllm_installed
from kpray.serving.engines.loading import read_card
from kpray.serving.gateway import build_gateway
from kpray.serving.handles import HandleEngine
from kpray.serving.page import page_html
from kpray.serving.replica import ModelReplica
from kpray.serving.types import ModelCard

_HEALTH_CHECK_S: Final = 5.0
"""How often Serve looks after a replica."""


def build_app(args: dict[str, Any]) -> serve.Application:
    """The application, from the ``args`` of a Serve file; Ray has to be there.

    Args:
        args: A `ModelAppConfig`.

    Raises:
        ConfigError: A key or value is wrong, or a model cannot be served.
    """
    config = checked_config(args)
    gpus = ray.cluster_resources().get("GPU", 0.0)
    cards, deployments = {}, []
    for served in config.models:
        choice = choose(served.engine, gpus=gpus if served.gpus is None else served.gpus, vllm=vllm_installed())
        print(f"model {served.name}: engine {choice.engine} ({choice.why})")
        cards[served.name] = read_card(served, engine=choice.engine)
        deployments.append(_deployment(served, choice, gpus=_gpus(served, gpus), config=config))
    return _ingress(config, cards, deployments)


def checked_config(args: Mapping[str, Any]) -> ModelAppConfig:
    """The configuration with absolute paths: the processes of a cluster have folders of their own.

    Raises:
        ConfigError: A key or value is wrong, or two models have one name.
    """
    config = load_config(ModelAppConfig, file=None, flags=args, overrides=())
    names = [_deployment_name(served) for served in config.models]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"`models` needs one model or more, each with a name of its own; found {names}")
    for served in config.models:
        _check_scaling(served)
    models = tuple(msgspec.structs.replace(served, path=_absolute(served.path)) for served in config.models)
    return msgspec.structs.replace(config, models=models)


def _check_scaling(served: ServedModel) -> None:
    scaling = served.scaling
    if not 0 <= scaling.least <= scaling.most or scaling.most < 1:
        raise ConfigError(
            f"model {served.name}: `scaling.least` has to be 0 or more and at most `scaling.most`, which has to be 1 "
            f"or more; found {scaling.least} and {scaling.most}"
        )


def _absolute(path: str) -> str:
    folder = Path(path).expanduser()
    return str(folder.absolute()) if folder.exists() else path


def _gpus(served: ServedModel, in_cluster: float) -> float:
    return (1.0 if in_cluster else 0.0) if served.gpus is None else served.gpus


def _deployment_name(served: ServedModel) -> str:
    return "model-" + re.sub(r"[^A-Za-z0-9_.-]", "-", served.name)


def _deployment(served: ServedModel, choice: Choice, *, gpus: float, config: ModelAppConfig) -> serve.Application:
    options = _options(served.scaling, drain_s=config.limits.seconds)
    if choice.engine == "vllm":
        from kpray.serving.engines.vllm_engine import vllm_deployment  # imports vLLM

        return vllm_deployment(served, gpus=gpus, name=_deployment_name(served), options=options)
    resources = {"num_cpus": served.cpus, "num_gpus": gpus}
    made = serve.deployment(ModelReplica).options(
        name=_deployment_name(served), ray_actor_options=resources, logging_config=_QUIET, **options
    )
    return made.bind(served, config.limits.prompt_tokens)


_QUIET: Final = {"enable_access_log": False}
"""The address writes its own log of requests, with their ids and sizes."""


def _options(scaling: ScalingConfig, *, drain_s: float) -> dict[str, Any]:
    replicas: dict[str, Any] = {"num_replicas": scaling.most}
    if scaling.least < scaling.most:
        replicas = {
            "autoscaling_config": {
                "min_replicas": scaling.least,
                "max_replicas": scaling.most,
                "target_ongoing_requests": scaling.target,
                "upscale_delay_s": scaling.up_delay_s,
                "downscale_delay_s": scaling.down_delay_s,
            }
        }
    return replicas | {
        "max_ongoing_requests": scaling.ongoing,
        "max_queued_requests": scaling.queued,
        "graceful_shutdown_timeout_s": drain_s,
        "graceful_shutdown_wait_loop_s": 0.5,
        "health_check_period_s": _HEALTH_CHECK_S,
    }


def _ingress(
    config: ModelAppConfig, cards: Mapping[str, ModelCard], deployments: list[serve.Application]
) -> serve.Application:
    at_once = sum(served.scaling.most * served.scaling.ongoing + served.scaling.queued for served in config.models)
    made = serve.deployment(serve.ingress(_gateway_factory(config, cards, at_once))()).options(
        name="address",
        num_replicas=config.address.replicas,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=at_once + 64,  # the models' limits come first, and health is always answered
        graceful_shutdown_timeout_s=config.limits.seconds,
        graceful_shutdown_wait_loop_s=0.5,
        health_check_period_s=_HEALTH_CHECK_S,
        logging_config=_QUIET,
    )
    return made.bind(*deployments)


def _gateway_factory(config: ModelAppConfig, cards: Mapping[str, ModelCard], at_once: int) -> Callable[[], FastAPI]:
    """What builds the address in each of its replicas; the keys are of that process's environment."""

    def build() -> FastAPI:
        print(_who_may_ask(config.address))
        engines = {
            served.name: HandleEngine(
                serve.get_deployment_handle(_deployment_name(served)),
                cards[served.name],
                sleeps=served.scaling.least == 0,
            )
            for served in config.models
        }
        page = page_html() if config.address.page else None
        return build_gateway(engines, config.limits, config.address, page=page, at_once=at_once, behind_serve=True)

    return build


def _who_may_ask(address: AddressConfig) -> str:
    """One sentence; an address that others can reach does not start without a key, however it was started."""
    host = _get_global_client().http_config.host
    return require_keys_or_loopback(host, Keys.from_environment(address.keys_env), keys_env=address.keys_env)
