"""Replies to samples: what is kept, and what is not with its reason; and their tables on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa

from kpray.pipelines.recipe import Recipe
from kpray.pipelines.rendering import Rendered
from kpray.prompts import KINDS
from kpray.prompts.kind import ParseFailure
from kpray.schemas import IMAGE_TOKEN, KindName, Lineage, QuestionAnswer, Rejected, Reply, Sample, Turn

SEEN_CHARS: Final = 2_000
"""So much of a rejected text is kept beside its reason; the ledger has it whole."""

_UNUSABLE: Final = {
    "length": ("truncated", "the reply ended at the token limit; raise teacher.sampling.max_tokens"),
    "content_filter": ("filtered", "the server's content filter cut the reply"),
    "refusal": ("refused", "the model declined"),
    "error": ("request_refused", "the server will not answer this request"),
}
"""Finish reasons that make no sample: the reason's name, and what it means."""


class Asked(msgspec.Struct, frozen=True):
    """One request, and what came of it.

    Attributes:
        kind: Of the request, as the next three.
        scene_id: Likewise.
        image: Path of the scene's image, relative to the folder of images.
        request_id: Likewise.
        instruction: `Prompt.instruction`.
        dropped: `Prompt.dropped`.
        reply: None where nothing was answered.
        failure: Then, why not, in words; None while it is not known.
        failure_reason: Then, the short name to count by.
        repairs: Id of the request whose reply had a fault, where this one asks again; else empty.
    """

    kind: KindName
    scene_id: str
    image: str
    request_id: str
    instruction: str | None
    dropped: tuple[str, ...]
    reply: Reply | None
    failure: str | None = None
    failure_reason: str = "no_reply"
    repairs: str = ""

    @classmethod
    def of(cls, rendered: Rendered) -> Asked:
        """A request that nothing has come of yet."""
        request, prompt = rendered.request, rendered.prompt
        return cls(
            kind=request.sample_kind,
            scene_id=request.scene_id,
            image=rendered.image,
            request_id=request.request_id,
            instruction=prompt.instruction,
            dropped=prompt.dropped,
            reply=None,
        )


def to_samples(asked: Asked, recipe: Recipe) -> list[Sample] | Rejected:
    """The samples that one reply makes, or why it makes none."""
    reply = asked.reply
    if reply is None:
        return _rejected(asked, "teacher", asked.failure_reason, asked.failure or "the request was not sent", "")
    if reply.finish_reason in _UNUSABLE:
        reason, meaning = _UNUSABLE[reply.finish_reason]
        return _rejected(asked, "teacher", reason, reply.error or meaning, reply.text)
    try:
        answers = KINDS[asked.kind].parse(reply.text, instruction=asked.instruction)
    except ParseFailure as failure:
        return _rejected(asked, "parse", failure.reason, failure.detail, reply.text)
    return _records(asked, recipe, answers)


def _records(asked: Asked, recipe: Recipe, answers: Sequence[QuestionAnswer]) -> list[Sample]:
    name = f"{asked.scene_id}-{asked.kind}"
    records: dict[str, Sequence[QuestionAnswer]] = (
        {name: answers} if recipe.turns == "multi" else {f"{name}-{i}": [qa] for i, qa in enumerate(answers)}
    )
    lineage = Lineage(asked.request_id, recipe.model, recipe.prompt_versions[asked.kind], asked.dropped, asked.repairs)
    return [
        Sample(sample_id, asked.kind, asked.scene_id, asked.image, _turns(exchange), lineage)
        for sample_id, exchange in records.items()
    ]


def _turns(exchange: Sequence[QuestionAnswer]) -> tuple[Turn, ...]:
    turns = []
    for i, qa in enumerate(exchange):
        question = f"{IMAGE_TOKEN}\n{qa.question}" if i == 0 else qa.question
        turns += [Turn("human", question), Turn("gpt", qa.answer)]
    return tuple(turns)


def _rejected(asked: Asked, stage: Any, reason: str, detail: str, seen: str) -> Rejected:
    return Rejected(asked.scene_id, asked.kind, asked.request_id, stage, reason, detail, seen[:SEEN_CHARS])


_TURN: Final = pa.struct([("from", pa.string()), ("value", pa.string())])
_LINEAGE: Final = pa.struct(
    [
        ("request_id", pa.string()),
        ("teacher", pa.string()),
        ("prompt_version", pa.string()),
        ("dropped", pa.list_(pa.string())),
        ("repairs", pa.string()),
    ]
)
_PLACE: Final = [("turn", pa.int32()), ("start", pa.int32()), ("end", pa.int32())]
_CLAIM: Final = pa.struct(
    [
        *_PLACE,
        *((name, pa.string()) for name in ("name", "value", "side")),
        ("negated", pa.bool_()),
        ("hedged", pa.bool_()),
        ("verdict", pa.string()),
        ("people", pa.list_(pa.int32())),
        ("person", pa.int32()),
        ("code", pa.string()),
        ("keypoints", pa.list_(pa.int32())),
        ("margin", pa.float64()),
    ]
)
_FAULT: Final = pa.struct([("check", pa.string()), ("reason", pa.string()), *_PLACE, ("detail", pa.string())])

_CHECKED: Final = [
    ("conversations", pa.list_(_TURN)),
    ("claims", pa.list_(_CLAIM)),
    ("faults", pa.list_(_FAULT)),
]

SAMPLE_SCHEMA: Final = pa.schema(
    [
        ("sample_id", pa.string()),
        ("scene_id", pa.string()),
        ("image", pa.string()),
        ("lineage", _LINEAGE),
        *_CHECKED,
    ]
)
"""Columns of samples/; the kind is in the folder's name (``kind=conversation``)."""

REJECTED_SCHEMA: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("scene_id", "kind", "request_id", "stage", "reason", "detail", "seen")),
        *_CHECKED,
    ]
)
"""Columns of rejected/."""


def samples_to_table(samples: Iterable[Sample]) -> pa.Table:
    """Samples of one kind as a table."""
    rows = [msgspec.to_builtins(sample) for sample in samples]
    return pa.Table.from_pylist(rows, schema=SAMPLE_SCHEMA)


def rejected_to_table(rejected: Iterable[Rejected]) -> pa.Table:
    """Rejects as a table."""
    return pa.Table.from_pylist([msgspec.to_builtins(reject) for reject in rejected], schema=REJECTED_SCHEMA)
