"""What an application serves and within which limits: typed, strict, readable in ``serve/*.yaml`` under ``args``."""

from __future__ import annotations

from typing import Literal

import msgspec

from kpray.config import PriceConfig


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one request may cost.

    Attributes:
        body_mb: Of the whole request, in 2**20 bytes.
        image_mb: Of one picture's file.
        image_megapixels: Of one picture, known from its header before it is decoded.
        images: Pictures in one request.
        messages: In one request.
        prompt_tokens: Image tokens included; None is what the model can take.
        output_tokens: Largest ``max_tokens``; also what a request gets that names none.
        seconds: Longest time an answer may take, waiting included.
        remote_hosts: Hosts from which pictures may be fetched by URL; empty refuses all URLs but ``data:``.
    """

    body_mb: float = 24.0
    image_mb: float = 12.0
    image_megapixels: float = 40.0
    images: int = 8
    messages: int = 64
    prompt_tokens: int | None = None
    output_tokens: int = 1024
    seconds: float = 120.0
    remote_hosts: tuple[str, ...] = ()


class ScalingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many replicas of a model there are, by how much there is to do.

    Attributes:
        least: 0 lets it go away when nobody asks; the next request then waits until it is loaded.
        most: Upper end.
        ongoing: Requests that one replica works on at a time; more than ``target`` of them add a replica.
        target: Ongoing requests per replica that Serve aims at.
        queued: Requests that may wait for a replica; more are answered with 503.
        up_delay_s: How long it must have been too much before a replica is added.
        down_delay_s: How long too little before one goes.
    """

    least: int = 1
    most: int = 1
    ongoing: int = 32
    target: float = 16.0
    queued: int = 64
    up_delay_s: float = 5.0
    down_delay_s: float = 300.0


class ServedModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model of an application.

    Attributes:
        name: What clients call it.
        path: Folder, hub name, or ``tiny-base``, which ships with kpray.
        engine: ``auto`` takes vllm where it is installed and there is a GPU (and says so), else transformers.
        gpus: Of each replica; with vllm the degree of tensor parallelism. None is 1 where the cluster has any, else 0.
        cpus: Of each replica.
        threads: Of torch on a CPU; more than one slows a busy machine down.
        batch_size: Requests that the transformers engine answers in one forward pass.
        batch_wait_ms: How long the first of them waits for others.
        max_length: Prompt and answer together, in tokens; None is what the model was made for.
        dtype: Of the weights; None is bfloat16 on a GPU and float32 on a CPU.
        engine_args: vLLM's own settings.
        scaling: Replicas.
    """

    name: str
    path: str
    engine: Literal["auto", "transformers", "vllm"] = "auto"
    gpus: float | None = None
    cpus: float = 1.0
    threads: int = 1
    batch_size: int = 16
    batch_wait_ms: float = 5.0
    max_length: int | None = None
    dtype: Literal["bfloat16", "float16", "float32"] | None = None
    engine_args: dict[str, object] = {}
    scaling: ScalingConfig = ScalingConfig()


class AddressConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may ask, and what is written down.

    Attributes:
        keys_env: Environment variable with the keys, separated by commas. Where it is unset or empty, only loopback
            may be bound, and the application says so.
        log_content: Whether prompts and answers are logged.
        page: Whether ``/`` shows the chat page.
        replicas: Of the ingress that checks requests.
    """

    keys_env: str = "KPRAY_API_KEYS"
    log_content: bool = False
    page: bool = True
    replicas: int = 1


class ModelAppConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The application of ``serve/model.yaml`` and `kpray serve`."""

    models: tuple[ServedModel, ...]
    limits: LimitsConfig = LimitsConfig()
    address: AddressConfig = AddressConfig()


class JudgeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who judges.

    Attributes:
        judge: ``geometric`` (embedded, by pose codes and overlap, no LLM), or ``openai`` for any compatible server.
        model: As the server names it.
        base_url: Of the server; None is OpenAI's.
        key_env: Environment variable with the server's key.
        temperature: 0.2 is the papers' and LLaVA's.
        max_tokens: Of one judgement.
        seed: Sent where it is set.
        repeats: How often each pair is judged in each order.
        in_flight: Requests to the server at a time, by each replica.
        ledger: Folder or address in which judgements are kept, so that each is paid once.
        max_usd: Stop before this is spent; None is no limit.
        price: Of the model, where kpray's table does not have it.
        structured_output: Whether the server enforces a JSON schema.
    """

    judge: Literal["geometric", "openai"] = "geometric"
    model: str = "gpt-4o"
    base_url: str | None = None
    key_env: str = "OPENAI_API_KEY"
    temperature: float = 0.2
    max_tokens: int = 1024
    seed: int | None = None
    repeats: int = 1
    in_flight: int = 32
    ledger: str = "runs/judge/ledger"
    max_usd: float | None = None
    price: PriceConfig | None = None
    structured_output: bool = True


class JudgeAppConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The application of ``serve/judge.yaml``."""

    judge: JudgeConfig = JudgeConfig()
    limits: LimitsConfig = LimitsConfig()
    address: AddressConfig = AddressConfig(page=False)
    replicas: int = 1
    items: int = 256
