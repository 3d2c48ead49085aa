"""Requests as rows for vLLM's engine, and its rows as replies.

Prompts are put into tokens here and not by the processor's own stages, for three reasons: a chat template that
writes the beginning-of-text token would get a second one from the tokenizer; a template that fails would end the
whole job; and vLLM has to be told how long a reply may be (it would cut after 16 tokens).

Every row of a run has the same keys and no empty values: where Ray Data merges an integer with None it becomes a
float, which vLLM's engine does not survive.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from kpray.config import TeacherConfig
from kpray.errors import ConfigError, TeacherError
from kpray.schemas import Message, Reply, Request, Usage
from kpray.teachers.vllm import longest

ERROR: Final = "__inference_error__"
"""The processor's column for what went wrong with a row; rows that come with one pass the engine untouched."""

TOO_LONG: Final = "prompt_too_long"
TEMPLATE_FAILED: Final = "template_failed"

REPLY_COLUMNS: Final = (
    "asked",
    "first_scene",
    "last_scene",
    ERROR,
    "generated_text",
    "generated_tokens",
    "num_input_tokens",
    "num_generated_tokens",
    "time_taken_llm",
)
"""What is needed of the processor's rows."""

_MODEL_DEFAULTS: Final = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)
"""What vLLM's server takes from generation_config.json where a request leaves it open."""


class Chat:
    """A model's own way from messages to tokens, with its limits and habits.

    Attributes:
        length: Tokens of prompt and reply together.
        end_ids: Tokens that end a reply.
        defaults: Sampling values that the model's makers set; ``max_tokens`` may be among them.
    """

    def __init__(self, settings: TeacherConfig) -> None:
        """Load the tokenizer and the configuration, but no weights.

        Raises:
            TeacherError: They cannot be loaded.
            ConfigError: Nothing says how many tokens the model takes.
        """
        from transformers import AutoConfig, AutoTokenizer, GenerationConfig

        engine = settings.vllm.engine
        how = {"trust_remote_code": engine.get("trust_remote_code", False), "revision": engine.get("revision")}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(settings.model, **how)
            config = AutoConfig.from_pretrained(settings.model, **how)
        except (OSError, ValueError) as error:
            raise TeacherError(f"{settings.model} cannot be loaded: {error}") from error
        try:
            habits = GenerationConfig.from_pretrained(settings.model, revision=how["revision"]).to_diff_dict()
        except OSError:
            habits = {}
        length = settings.vllm.max_model_len or longest(config.to_dict())
        if length is None:
            raise ConfigError(
                f"{settings.model} does not say how many tokens it takes: set `teacher.vllm.max_model_len`"
            )
        self.length = length
        self.end_ids = end_ids(self._tokenizer.eos_token_id, habits.get("eos_token_id"))
        self.defaults = model_defaults(habits)

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The prompt, through the model's chat template.

        Raises:
            Exception: Whatever the template raises; some refuse a system message, for example.
        """
        chat = [{"role": message.role, "content": message.content} for message in messages]
        encoded = self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)
        return [int(token) for token in encoded["input_ids"]]


def end_ids(*given: int | Sequence[int] | None) -> frozenset[int]:
    """The tokens that end a reply, from what a tokenizer and a generation_config.json say.

    >>> sorted(end_ids(2, [2, 7]))
    [2, 7]
    """
    lists = [[ids] if isinstance(ids, int) else ids for ids in given if ids is not None]
    return frozenset(token for ids in lists for token in ids)


def model_defaults(habits: Mapping[str, Any]) -> dict[str, Any]:
    """Sampling values of a generation_config.json, by vLLM's names.

    >>> model_defaults({"temperature": 0.7, "max_new_tokens": 512, "do_sample": True})
    {'temperature': 0.7, 'max_tokens': 512}
    """
    defaults = {name: habits[name] for name in _MODEL_DEFAULTS if habits.get(name) is not None}
    if habits.get("max_new_tokens") is not None:
        defaults["max_tokens"] = habits["max_new_tokens"]
    return defaults


def to_row(request: Request, chat: Chat) -> dict[str, Any]:
    """One request as a row for the engine; what is wrong with its prompt stands in the `ERROR` column."""
    try:
        prompt = chat.tokens(request.messages)
    except Exception as error:  # noqa: BLE001 - templates are programs; one request's fault must not end the job
        return _row(request, [], 1, chat.defaults, f"{TEMPLATE_FAILED}: {type(error).__name__}: {error}")
    room = chat.length - len(prompt)
    if room < 1:
        fault = f"{TOO_LONG}: the prompt has {len(prompt):,} tokens and the model takes {chat.length:,} with the reply"
        return _row(request, [], 1, chat.defaults, fault)
    return _row(request, prompt, room, chat.defaults, "")


def _row(request: Request, prompt: list[int], room: int, defaults: Mapping[str, Any], fault: str) -> dict[str, Any]:
    return {
        "asked": request.request_id,
        "tokenized_prompt": prompt,
        "sampling_params": sampling_params(request, room=room, defaults=defaults),
        ERROR: fault,
    }


def sampling_params(request: Request, *, room: int, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What vLLM is told about drawing a reply: the request's values, else the model's; nothing is None.

    Args:
        request: To be answered.
        room: Tokens that are left for the reply.
        defaults: The model's own values.
    """
    sampling = msgspec.structs.asdict(request.sampling)
    params = {**defaults, **{name: value for name, value in sampling.items() if value is not None}}
    params["max_tokens"] = min(int(params.get("max_tokens", room)), room)
    if request.response_schema is not None:
        # As text: Ray Data would merge the schemas of several kinds into one.
        schema = msgspec.json.encode(request.response_schema, order="deterministic").decode()
        params["structured_outputs"] = {"json": schema}
    return params


def to_reply(row: Mapping[str, Any], *, model: str, ends: Container[int]) -> Reply | None:
    """The reply in a row that came out of the processor.

    vLLM's processor does not pass on why a reply ended: one that ends with an end token stopped by itself, every
    other was cut.

    Args:
        row: With the `REPLY_COLUMNS`; a row with an error may lack the engine's.
        model: As it shall stand in the reply.
        ends: Tokens that end a reply.

    Returns:
        None where the request failed in a way that says nothing about another attempt. A prompt that the model
        cannot take is a reply of its own kind (``error``), as it is with a server.
    """
    fault = row[ERROR] or ""
    if fault and not fault.startswith(TOO_LONG):
        return None
    tokens = row.get("generated_tokens")
    ended = tokens is not None and len(tokens) > 0 and int(tokens[-1]) in ends
    return Reply(
        request_id=row["asked"],
        text="" if fault else row["generated_text"],
        finish_reason="error" if fault else "stop" if ended else "length",
        usage=None if fault else Usage(int(row["num_input_tokens"]), int(row["num_generated_tokens"])),
        usd=0.0,  # a GPU is paid by the hour, not by the reply
        latency_s=0.0 if fault else float(row["time_taken_llm"]),
        model=model,
        created_at=datetime.now(UTC).isoformat(),
        error=fault or None,
    )
