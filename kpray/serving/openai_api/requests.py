"""The body of ``POST /v1/chat/completions``: its types, which are its OpenAPI description too.

What would change the answer and is not done here is refused with a sentence, never ignored: `_NOT_DONE` lists it. What
changes nothing (`user`, `metadata`, `store` ...) is accepted. Unknown fields are refused, as they may be misspelt.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from kpray.serving.errors import ApiError

Nothing = Annotated[list[Any], Meta(max_length=0)] | None
"""A list that may be sent, but not with anything in it."""


class _Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Unknown fields are errors."""


class TextPart(_Closed, tag_field="type", tag="text", frozen=True):
    """Text in a message."""

    text: str


class ImageUrl(_Closed, frozen=True):
    """A data URI, or a URL on a host that the server fetches from; ``detail`` changes nothing."""

    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(_Closed, tag_field="type", tag="image_url", frozen=True):
    """A picture in a message."""

    image_url: ImageUrl


Texts = str | Annotated[list[TextPart], Meta(min_length=1)]


class SystemMessage(_Closed, tag_field="role", tag="system", frozen=True):
    """What the model is told before all."""

    content: Texts


class DeveloperMessage(_Closed, tag_field="role", tag="developer", frozen=True):
    """The newer name of a system message."""

    content: Texts


class UserMessage(_Closed, tag_field="role", tag="user", frozen=True):
    """A question; its parts stay in their order."""

    content: str | Annotated[list[TextPart | ImagePart], Meta(min_length=1)]


class AssistantMessage(_Closed, tag_field="role", tag="assistant", frozen=True):
    """An earlier answer, also as the official client dumps it, with its empty fields."""

    content: Texts
    refusal: None = None
    annotations: Nothing = None
    audio: None = None
    function_call: None = None
    tool_calls: Nothing = None


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage


class StreamOptions(_Closed, frozen=True):
    """Only with ``stream``; obfuscation changes no text, and there is none."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class JsonSchema(_Closed, frozen=True):
    """A JSON schema that the answer has to keep to."""

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern="^[a-zA-Z0-9_-]*$")]
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class TextFormat(_Closed, tag_field="type", tag="text", frozen=True):
    """Free text."""


class JsonObjectFormat(_Closed, tag_field="type", tag="json_object", frozen=True):
    """Any JSON object."""


class JsonSchemaFormat(_Closed, tag_field="type", tag="json_schema", frozen=True):
    """JSON of a schema."""

    json_schema: JsonSchema


Length = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Zero = Annotated[float, Meta(ge=0, le=0)]
Stop = Annotated[str, Meta(min_length=1, max_length=256)]


class ChatCompletionRequest(_Closed, frozen=True):
    """A chat completion as OpenAI's API has it; null is the same as leaving a field out."""

    model: str
    messages: Annotated[list[Message], Meta(min_length=1)]
    max_tokens: Length | None = None
    max_completion_tokens: Length | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: Stop | Annotated[list[Stop], Meta(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    # Accepted, as they change nothing here.
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    parallel_tool_calls: bool | None = None
    # Accepted where they ask for nothing.
    n: Annotated[int, Meta(ge=1, le=1)] | None = None
    frequency_penalty: Zero | None = None
    presence_penalty: Zero | None = None
    logit_bias: Annotated[dict[str, Any], Meta(max_length=0)] | None = None
    logprobs: Literal[False] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=0)] | None = None
    tools: Nothing = None
    tool_choice: Literal["none", "auto"] | None = None
    functions: Nothing = None
    function_call: Literal["none", "auto"] | None = None
    modalities: Annotated[list[Literal["text"]], Meta(max_length=1)] | None = None


_NO_TOOLS: Final = "this server calls no tools"
_NO_PENALTY: Final = "this server has no penalties on tokens"
_NO_LOGPROBS: Final = "this server gives no log probabilities"
_NOT_DONE: Final = {
    "n": "this server gives one answer to a request; send the request n times",
    "frequency_penalty": _NO_PENALTY,
    "presence_penalty": _NO_PENALTY,
    "logit_bias": "this server does not weigh single tokens",
    "logprobs": _NO_LOGPROBS,
    "top_logprobs": _NO_LOGPROBS,
    "tools": _NO_TOOLS,
    "tool_choice": _NO_TOOLS,
    "tool_calls": _NO_TOOLS,
    "functions": _NO_TOOLS,
    "function_call": _NO_TOOLS,
    "modalities": "this server answers with text only",
    "audio": "this server neither hears nor speaks",
    "prediction": "this server takes no predicted output",
    "reasoning_effort": "the models here have no reasoning effort to set",
    "verbosity": "the models here have no verbosity to set; say it in the prompt",
    "web_search_options": "this server does not search the web",
    "name": "the models here do not tell participants apart; put the name into the text",
}

_DECODER: Final = msgspec.json.Decoder(ChatCompletionRequest)
_PLACE: Final = re.compile(r"(?P<said>.*?)(?: - at `\$\.?(?P<place>.*)`)?$", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)


def read(body: bytes) -> ChatCompletionRequest:
    """Read a request's body.

    Raises:
        ApiError: 400 for what is not JSON, or asks for something that is not done here; 422 for other faults.
    """
    try:
        asked = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is not JSON in UTF-8, or nested too deeply", code="invalid_json") from None
    if asked.stream_options is not None and not asked.stream:
        said = "stream_options: expected only with `stream: true`"
        raise ApiError(400, said, code="invalid_value", param="stream_options")
    return asked


def _explained(text: str) -> ApiError:
    match = _PLACE.match(text)
    assert match is not None  # all of it is optional
    said, place = match["said"], match["place"] or ""
    unknown = _UNKNOWN.fullmatch(said)
    if unknown is not None:
        place = f"{place}.{unknown['field']}".lstrip(".")
    sentence = _NOT_DONE.get(place.rpartition(".")[2].partition("[")[0])
    if sentence is not None:
        return ApiError(400, f"{place}: {sentence}; leave it out", code="unsupported_parameter", param=place)
    if unknown is not None:
        return ApiError(
            422, f"unknown field `{place[:200]}`; see /openapi.json", code="unknown_field", param=place[:200]
        )
    return ApiError(422, f"{place or 'the body'}: {said[:500]}", code="invalid_value", param=place or None)
