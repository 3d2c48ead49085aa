"""The application of ``serve/judge.yaml``: processes that judge, and the address in front of them.

::

    serve run serve/judge.yaml
"""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from ray import serve
from ray.serve.context import _get_global_client

from kpray.config import load_config
from kpray.errors import ConfigError
from kpray.judges.connect import preflight, require_price
from kpray.serving.access import Keys, require_keys_or_loopback
from kpray.serving.config import JudgeAppConfig, JudgeConfig
from kpray.serving.judging.address import AT_ONCE, build_address
from kpray.serving.judging.bench import ShardedBench
from kpray.serving.judging.replica import JudgeReplica, Share, expected_judge, server_of, shares

_HEALTH_CHECK_S: Final = 5.0
_QUIET: Final = {"enable_access_log": False}
"""The address writes its own log of requests."""


def build_app(args: dict[str, Any]) -> serve.Application:
    """The application, from the ``args`` of a Serve file; the judge's server is looked at before anything starts.

    Args:
        args: A `JudgeAppConfig`.

    Raises:
        ConfigError: A key or value is wrong.
        TeacherError: The judge's server cannot be reached, refuses the key or does not have the model.
        StorageError: The ledger cannot be read.
    """
    config = checked_config(args)
    if config.judge.judge == "openai":
        asyncio.run(preflight(server_of(config.judge)))
    session = uuid.uuid4().hex[:8]
    parts = shares(config.judge, session=session, count=config.replicas, seconds=config.limits.seconds)
    print(_who_judges(config.judge))
    return _ingress(config, [_deployment(config, part, number) for number, part in enumerate(parts)])


def checked_config(args: Mapping[str, Any]) -> JudgeAppConfig:
    """The configuration with an absolute path of the ledger: processes of a cluster have folders of their own.

    Raises:
        ConfigError: A key or value is wrong, or there is a budget and no price.
    """
    config = load_config(JudgeAppConfig, file=None, flags=args, overrides=())
    judge = config.judge
    at_least_one = {"replicas": config.replicas, "items": config.items, "judge.repeats": judge.repeats}
    at_least_one |= {"judge.in_flight": judge.in_flight, "judge.max_tokens": judge.max_tokens}
    for key, value in at_least_one.items():
        if value < 1:
            raise ConfigError(f"`{key}` has to be 1 or more; found {value}")
    if judge.judge == "openai" and judge.max_usd is not None:
        server = server_of(judge)
        require_price(server, server.price())
    ledger = judge.ledger if "://" in judge.ledger else str(Path(judge.ledger).expanduser().absolute())
    return msgspec.structs.replace(config, judge=msgspec.structs.replace(judge, ledger=ledger))


def _who_judges(judge: JudgeConfig) -> str:
    if judge.judge == "geometric":
        return "judge: geometric, embedded; it knows words and poses, and does not stand in for a model"
    budget = "no budget" if judge.max_usd is None else f"at most ${judge.max_usd:g}"
    return f"judge: {judge.model} at {judge.base_url or 'OpenAI'}; ledger {judge.ledger}; {budget}"


def _deployment_name(number: int) -> str:
    return f"judge-{number:03}"


def _deployment(config: JudgeAppConfig, share: Share, number: int) -> serve.Application:
    """One process: several of one deployment could not each have their own part of the scenes."""
    made = serve.deployment(JudgeReplica).options(
        name=_deployment_name(number),
        num_replicas=1,
        ray_actor_options={"num_cpus": 1 if config.judge.judge == "geometric" else 0.1},
        max_ongoing_requests=AT_ONCE * config.address.replicas,
        graceful_shutdown_timeout_s=config.limits.seconds,
        graceful_shutdown_wait_loop_s=0.5,
        health_check_period_s=_HEALTH_CHECK_S,
        logging_config=_QUIET,
    )
    return made.bind(config.judge, share)


def _ingress(config: JudgeAppConfig, processes: Sequence[serve.Application]) -> serve.Application:
    made = serve.deployment(serve.ingress(_address_factory(config))()).options(
        name="address",
        num_replicas=config.address.replicas,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=AT_ONCE + 64,  # the address refuses with a sentence, and health is always answered
        graceful_shutdown_timeout_s=config.limits.seconds,
        graceful_shutdown_wait_loop_s=0.5,
        health_check_period_s=_HEALTH_CHECK_S,
        logging_config=_QUIET,
    )
    return made.bind(*processes)


def _address_factory(config: JudgeAppConfig) -> Callable[[], FastAPI]:
    """What builds the address in each of its replicas; the keys are of that process's environment."""

    def build() -> FastAPI:
        address = config.address
        keys = Keys.from_environment(address.keys_env)
        host = _get_global_client().http_config.host
        print(require_keys_or_loopback(host, keys, keys_env=address.keys_env))
        handles = [serve.get_deployment_handle(_deployment_name(number)) for number in range(config.replicas)]
        bench = ShardedBench(handles, functools.partial(expected_judge, config.judge))
        return build_address(bench, config, keys=keys, behind_serve=True)

    return build
