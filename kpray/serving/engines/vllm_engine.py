"""vLLM as an engine: Ray Serve's own deployment of it, which runs it, places it on GPUs and looks after it.

Only the way in and out is kpray's: a checked request goes in as an OpenAI request, and what comes back as lines for
a client is read again into pieces. So one address with its limits and figures stands in front of either engine.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from ray.serve import Application
from ray.serve.llm import LLMConfig, build_llm_deployment
from ray.serve.llm.deployment import LLMServer
from ray.serve.llm.openai_api_models import ChatCompletionRequest

from kpray.serving.config import ServedModel
from kpray.serving.engines.vllm_wire import TOO_LONG, finish, openai_body, read_line, refusal
from kpray.serving.errors import ApiError
from kpray.serving.types import ChatRequest, Delta


def vllm_deployment(served: ServedModel, *, gpus: float, name: str, options: Mapping[str, Any]) -> Application:
    """The deployment of one model.

    Args:
        served: The model; its `engine_args` go before everything here.
        gpus: Of each replica: the degree of tensor parallelism. 0 runs it on a CPU.
        name: Of the deployment.
        options: Replicas, queue and draining, as Serve names them.
    """
    arguments: dict[str, Any] = {"tensor_parallel_size": max(int(gpus), 1), "max_num_seqs": served.batch_size}
    if served.max_length:
        arguments["max_model_len"] = served.max_length
    if served.dtype:
        arguments["dtype"] = served.dtype
    config = LLMConfig(
        model_loading_config={"model_id": served.name, "model_source": served.path},
        engine_kwargs=arguments | served.engine_args,
        accelerator_config={"kind": "gpu" if gpus else "cpu"},
        placement_group_config=None if gpus else {"bundle_per_worker": {"CPU": served.cpus}},
        # By default pieces are collected for 50 ms, which the client would wait for its first one.
        experimental_configs={"stream_batching_interval_ms": 0},
        log_engine_metrics=True,
    )
    return build_llm_deployment(config, deployment_cls=VllmServer, override_serve_options={"name": name, **options})


class VllmServer(LLMServer):  # type: ignore[misc]  # Ray has no types
    """Ray's server of a vLLM engine, with the method that `kpray.serving.handles.HandleEngine` calls."""

    async def answer(self, request: ChatRequest) -> AsyncGenerator[Delta | ApiError]:
        """The answer, piece by piece, or why there is none.

        vLLM refuses a prompt that leaves less room than ``max_completion_tokens``. Without that it gives all the
        room there is, which then is less than what was asked for, so the request is made again without.
        """
        body = openai_body(request)
        for attempt in (body, {key: value for key, value in body.items() if key != "max_completion_tokens"}):
            refused = None
            async with aclosing(self._pieces(attempt)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, ApiError):
                        refused = piece
                        break
                    yield piece
            if refused is None or refused.code != TOO_LONG:
                break
        if refused is not None:
            yield refused

    async def _pieces(self, body: dict[str, Any]) -> AsyncGenerator[Delta | ApiError]:
        reason: str | None = None
        async with aclosing(await self.chat(ChatCompletionRequest(**body))) as batches:
            async for batch in batches:
                for item in batch:
                    chunk = read_line(item) if isinstance(item, str) else refusal(item.error.message, item.error.code)
                    if isinstance(chunk, ApiError):
                        yield chunk
                        return
                    for choice in chunk.choices:
                        reason = choice.finish_reason or reason
                        if choice.delta.content:
                            yield Delta(choice.delta.content)
                    if chunk.usage is not None and not chunk.choices:  # the last one
                        used = chunk.usage
                        yield Delta("", finish(reason), used.prompt_tokens, used.completion_tokens)
