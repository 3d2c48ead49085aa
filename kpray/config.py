"""Run configurations: typed, strict, and with the paper's values as defaults.

A configuration is built from, in rising order: the defaults here, a YAML file, command-line flags and
``--set key=value``. Unknown keys and wrong types are errors that name the key and what is known.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

import msgspec
import yaml

from kpray import storage
from kpray.errors import ConfigError
from kpray.schemas import KIND_NAMES, KindName, Sampling

TeacherName = Literal["geometric", "openai", "vllm"]
ExportFormat = Literal["sharegpt", "messages"]


class LimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the account may send, over all workers and runs; None is learned from the server's headers."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


class PriceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model's price where kpray's table has none or another one, in USD per million tokens.

    Attributes:
        prompt: Of prompt tokens.
        completion: Of completion tokens.
        cached_prompt: Of prompt tokens that the server took from its cache; None is the full price.
        batch_discount: The part that batch mode saves.
    """

    prompt: float
    completion: float
    cached_prompt: float | None = None
    batch_discount: float = 0.5


class BatchConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How batch mode cuts and watches its batches; the limits are OpenAI's.

    Attributes:
        max_requests: In one batch.
        max_bytes: Of one batch's file.
        max_enqueued_tokens: Prompt tokens in all unfinished batches together; None is no limit.
        poll_s: Between two looks at the unfinished batches.
    """

    max_requests: int = 50_000
    max_bytes: int = 200_000_000
    max_enqueued_tokens: int | None = None
    poll_s: float = 30.0


class VllmConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a local model is loaded and run.

    Attributes:
        tensor_parallel: GPUs that share one copy of the model.
        replicas: Copies of the model.
        batch_size: Requests handed to the engine at once.
        max_model_len: Longest prompt and reply together, in tokens; None is the model's own.
        dtype: As vLLM names it.
        gpu_memory_utilization: Part of a GPU's memory that vLLM may take.
        engine: Further arguments of vLLM's engine, by its names.
    """

    tensor_parallel: int = 1
    replicas: int = 1
    batch_size: int = 64
    max_model_len: int | None = None
    dtype: str = "auto"
    gpu_memory_utilization: float = 0.9
    engine: dict[str, Any] = {}


class TeacherConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who answers, and how it is asked.

    Attributes:
        name: ``geometric`` needs no network and costs nothing; ``openai`` is any OpenAI-compatible server;
            ``vllm`` is a model that is run here.
        model: The model's name at the server; for ``vllm`` a folder or a hub's name.
        base_url: The server; None is OpenAI's own.
        sampling: None values are left to the server, as the paper left them.
        structured_output: Whether the server enforces a JSON schema; else a strict text format is asked for.
        mode: ``live`` asks request by request; ``batch`` goes through OpenAI's Batch API, at half the price.
        in_flight: How many requests may be under way at once, over all workers.
        workers: Processes that ask; None chooses by `in_flight` and the cluster's CPUs.
        timeout_s: For one attempt.
        retry_for_s: How long one request is tried again after connection errors, timeouts, 408, 409, 429 and
            5xx; waiting for rate limits does not count.
        limits: What the account may send.
        price: What the model costs; None looks it up.
        batch: For ``batch`` mode.
        vllm: For ``vllm``.
    """

    name: TeacherName = "geometric"
    model: str = "gpt-4o"
    base_url: str | None = None
    sampling: Sampling = Sampling()
    structured_output: bool = True
    mode: Literal["live", "batch"] = "live"
    in_flight: int = 64
    workers: int | None = None
    timeout_s: float = 120.0
    retry_for_s: float = 180.0
    limits: LimitsConfig = LimitsConfig()
    price: PriceConfig | None = None
    batch: BatchConfig = BatchConfig()
    vllm: VllmConfig = VllmConfig()


class SceneConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which scenes are used (see `kpray.coco.SceneFilter`)."""

    min_people: int = 1
    min_keypoints: int = 1
    licenses: tuple[int, ...] = ()
    image_list: str | None = None
    reject_flagged: bool = False


class SyntheticConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The scenes that are drawn when no annotation files are given."""

    count: int = 60
    images: bool = True


class CheckConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of samples that give away their source, are malformed, or that the keypoints contradict.

    Attributes:
        mode: ``report`` keeps them, with what was found; ``repair`` asks once more with the fault named, and then
            rejects; ``reject`` rejects at once, as ``repair`` does for a teacher that always answers the same.
        near_duplicates: A sample as similar as this to an earlier one (Jaccard similarity of their word triples,
            0..1) is taken out; None keeps all.
        spacy_model: Name or path of an installed spaCy model that finds sentences and lemmas for the grounding; None
            is kpray's own way, which needs none.
    """

    mode: Literal["report", "repair", "reject"] = "repair"
    near_duplicates: float | None = 0.9
    spacy_model: str | None = None


class GenerateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `kpray generate` does.

    Attributes:
        out: The run's folder, a path or a URI.
        captions: COCO captions file; without it and `keypoints`, synthetic scenes are drawn.
        keypoints: COCO person_keypoints file.
        instances: COCO instances file, for the objects.
        images: Folder of the images; with it, image paths are checked to exist.
        kinds: Which kinds to make.
        turns: ``single`` is one question-answer per record, as the paper counts; ``multi`` is all turns of
            an image in one record.
        limit: Use only the first scenes, by image id.
        seed: Of every draw.
        shard_size: Scenes in a shard, the unit of work; None chooses by the number of images.
        max_context_chars: A longer scene context loses its smallest objects, then its farthest people.
        scenes: Which scenes are used.
        synthetic: What is drawn when there are no annotation files.
        teacher: Who answers.
        check: What becomes of faulty samples.
        ledger: Folder of the replies; None is the run's own. Several runs may share one.
        max_usd: What the whole run may cost, over all its sessions.
        ask_errors_again: Whether requests that the server refused to answer (400, 422) are sent once more.
        export: Formats to write besides ``llava.json``.
    """

    out: str
    captions: str | None = None
    keypoints: str | None = None
    instances: str | None = None
    images: str | None = None
    kinds: tuple[KindName, ...] = KIND_NAMES
    turns: Literal["single", "multi"] = "single"
    limit: int | None = None
    seed: int = 0
    shard_size: int | None = None
    max_context_chars: int = 24_000
    scenes: SceneConfig = SceneConfig()
    synthetic: SyntheticConfig = SyntheticConfig()
    teacher: TeacherConfig = TeacherConfig()
    check: CheckConfig = CheckConfig()
    ledger: str | None = None
    max_usd: float | None = None
    ask_errors_again: bool = False
    export: tuple[ExportFormat, ...] = ()

    def __post_init__(self) -> None:
        """Refuse combinations that no run can mean.

        Raises:
            ConfigError: With the keys concerned.
        """
        if (self.captions is None) != (self.keypoints is None):
            given, missing = ("captions", "keypoints") if self.captions else ("keypoints", "captions")
            raise ConfigError(f"`{given}` is given without `{missing}`; give both, or neither for synthetic scenes")
        if self.keypoints is None and (self.instances or self.images):
            raise ConfigError("`instances` and `images` need `captions` and `keypoints` beside them")
        if not self.kinds or len(set(self.kinds)) != len(self.kinds):
            raise ConfigError(f"`kinds` must name each kind once; found {list(self.kinds)}")
        teacher = self.teacher
        at_least_one = {
            "limit": self.limit,
            "shard_size": self.shard_size,
            "synthetic.count": self.synthetic.count,
            "max_context_chars": self.max_context_chars,
            "teacher.in_flight": teacher.in_flight,
            "teacher.workers": teacher.workers,
            "teacher.batch.max_requests": teacher.batch.max_requests,
            "teacher.batch.max_bytes": teacher.batch.max_bytes,
            "teacher.batch.max_enqueued_tokens": teacher.batch.max_enqueued_tokens,
            "teacher.vllm.tensor_parallel": teacher.vllm.tensor_parallel,
            "teacher.vllm.replicas": teacher.vllm.replicas,
            "teacher.vllm.batch_size": teacher.vllm.batch_size,
        }
        above_zero = {
            "teacher.timeout_s": teacher.timeout_s,
            "teacher.limits.requests_per_minute": teacher.limits.requests_per_minute,
            "teacher.limits.tokens_per_minute": teacher.limits.tokens_per_minute,
            "teacher.batch.poll_s": teacher.batch.poll_s,
        }
        zero_or_more = {
            "teacher.retry_for_s": teacher.retry_for_s,
            "max_usd": self.max_usd,
            "scenes.min_people": self.scenes.min_people,
            "scenes.min_keypoints": self.scenes.min_keypoints,
        }
        shares = {"check.near_duplicates": self.check.near_duplicates}
        _require(shares, lambda value: 0 < value <= 1, "above 0 and at most 1")
        _require(at_least_one, lambda value: value >= 1, "at least 1")
        _require(above_zero, lambda value: value > 0, "above 0")
        _require(zero_or_more, lambda value: value >= 0, "0 or more")
        if teacher.mode == "batch" and teacher.name != "openai":
            raise ConfigError(f"`teacher.mode: batch` needs `teacher.name: openai`; found {teacher.name}")


def _require(values: Mapping[str, float | None], holds: Callable[[float], bool], wanted: str) -> None:
    for key, value in values.items():
        if value is not None and not holds(value):
            raise ConfigError(f"`{key}` must be {wanted}; found {value}")


ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)


def load_config(
    config_type: type[ConfigT], *, file: str | None, flags: Mapping[str, Any], overrides: Iterable[str]
) -> ConfigT:
    """Build a configuration from a YAML file, flags and ``key=value`` overrides.

    Args:
        config_type: What to build.
        file: A YAML file, or None.
        flags: Values by dotted key; those that are None were not given and change nothing.
        overrides: ``dotted.key=value`` texts; values are read as YAML.

    Raises:
        ConfigError: The file cannot be read, a key is unknown, or a value has the wrong type.
    """
    values = _read_yaml(file) if file else {}
    for key, value in flags.items():
        if value is not None:
            _set(values, key, value)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set takes key=value, for example --set teacher.model=gpt-4o; found {text!r}")
        try:
            _set(values, key.strip(), yaml.load(value, Loader=_Loader))
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {key}: {value!r} is not a YAML value ({error})") from error
    _refuse_unknown_keys(values, config_type, prefix="")
    try:
        return msgspec.convert(values, config_type, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(error)) from error


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, for which 1e-3 is a number as it is in YAML 1.2, not a text as in 1.1."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), [*"-+0123456789"]
)


def _read_yaml(file: str) -> dict[str, Any]:
    try:
        values = yaml.load(storage.read_bytes(file), Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is not valid YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{file} must hold `key: value` lines; found a {type(values).__name__}")
    return values


def _set(values: dict[str, Any], dotted_key: str, value: Any) -> None:
    *parents, last = dotted_key.split(".")
    for parent in parents:
        child = values.setdefault(parent, {})
        if not isinstance(child, dict):
            raise ConfigError(f"`{dotted_key}`: `{parent}` is a value, not a group of keys")
        values = child
    values[last] = value


def _refuse_unknown_keys(values: Mapping[str, Any], config_type: Any, prefix: str) -> None:
    fields = {field.name: field.type for field in msgspec.structs.fields(config_type)}
    for key, value in values.items():
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            hint = f" (did you mean `{prefix}{near[0]}`?)" if near else ""
            known = ", ".join(fields)
            raise ConfigError(f"unknown key `{prefix}{key}`{hint}; known keys here: {known}")
        nested = fields[key]
        if isinstance(value, Mapping) and isinstance(nested, type) and issubclass(nested, msgspec.Struct):
            _refuse_unknown_keys(value, nested, prefix=f"{prefix}{key}.")


def _explain(error: msgspec.ValidationError) -> str:
    message, at, where = str(error).partition(" - at `$.")
    if at:
        return f"`{where.rstrip('`')}`: {message[0].lower()}{message[1:]}"
    return f"the configuration is not complete: {message[0].lower()}{message[1:]}"
