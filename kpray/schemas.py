"""The frozen types at every boundary of kpray.

One type per boundary: what is read from COCO (`Scene`), what is asked (`Request`), what came back
(`Reply`), what is kept (`Sample`) and what is not (`Rejected`). Rows of Ray Datasets and files on disk are
these types, dumped.

Conventions, everywhere:

- Pixels become fractions of the image exactly once, in `kpray.coco`. A name that ends in ``_norm`` holds
  fractions in 0..1, with x to the right and y downwards.
- Boxes are ``(x1, y1, x2, y2)``.
- Keypoints are the 17 of COCO in COCO's order, each ``(x, y, v)`` with v 0 (not labelled; x = y = 0),
  1 (labelled, hidden) or 2 (labelled, visible).
- Left and right are the person's own; the picture's sides are called image-left and image-right.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

KEYPOINT_NAMES: Final = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""COCO's 17 keypoints in COCO's order (https://cocodataset.org/#format-data)."""

Box = tuple[float, float, float, float]
Keypoint = tuple[float, float, int]
KindName = Literal["conversation", "detailed", "reasoning"]
KIND_NAMES: Final[tuple[KindName, ...]] = ("conversation", "detailed", "reasoning")

RequestKind = Literal["conversation", "detailed", "reasoning", "answer", "judge"]
"""What a reply is for: a sample of one of the three kinds, an answer to a benchmark's question, or a judgement."""

IMAGE_TOKEN: Final = "<image>"
"""LLaVA's placeholder for the picture; once, at the start of a record's first turn."""


class Person(msgspec.Struct, frozen=True):
    """One person of a scene; a COCO keypoint annotation and its instance annotation are one `Person`.

    Attributes:
        annotation_id: COCO's annotation id, shared by the two files.
        box_xyxy_norm: The box, clamped to the image.
        keypoints_xyv_norm: 17 triples; all zero where nothing is labelled.
        num_labelled: How many keypoints have v > 0.
        area_px: COCO's ``area`` (of the segmentation, in square pixels).
    """

    annotation_id: int
    box_xyxy_norm: Box
    keypoints_xyv_norm: tuple[Keypoint, ...]
    num_labelled: int
    area_px: float


class SceneObject(msgspec.Struct, frozen=True):
    """Anything annotated that is not a person."""

    annotation_id: int
    category: str
    box_xyxy_norm: Box


class Scene(msgspec.Struct, frozen=True):
    """One image and everything its annotations say about it.

    Attributes:
        scene_id: COCO's image id, as text without padding.
        file_name: As the annotation file has it (``COCO_train2014_000000134754.jpg`` or ``000000134754.jpg``).
        split: ``train2014``, ``val2017`` and so on; empty when nothing in the files says.
        width: In pixels.
        height: In pixels.
        license_id: COCO's licence id; None when the image names none.
        captions: In the file's order; 0 or more.
        objects: Non-person objects, without crowds.
        people: Without crowds, in the order of their annotation ids.
        flags: Names of the doubts that the reader had about this scene (see `kpray.coco.validate`).
    """

    scene_id: str
    file_name: str
    split: str
    width: int
    height: int
    license_id: int | None
    captions: tuple[str, ...]
    objects: tuple[SceneObject, ...]
    people: tuple[Person, ...]
    flags: tuple[str, ...] = ()

    def keypoints_px(self) -> npt.NDArray[np.float64]:
        """Keypoints of all people in pixels, so that angles are true angles.

        Returns:
            (P, 17, 3) array of x px, y px, v; P may be 0.
        """
        xyv = np.array([p.keypoints_xyv_norm for p in self.people], dtype=np.float64).reshape(-1, 17, 3)
        xyv[:, :, :2] *= [self.width, self.height]
        return xyv

    def boxes_px(self) -> npt.NDArray[np.float64]:
        """Boxes of all people in pixels.

        Returns:
            (P, 4) array of x1, y1, x2, y2; P may be 0.
        """
        boxes = np.array([p.box_xyxy_norm for p in self.people], dtype=np.float64).reshape(-1, 4)
        boxes *= [self.width, self.height, self.width, self.height]
        return boxes


class Message(msgspec.Struct, frozen=True):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a model draws its reply; None leaves the choice to the server."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None


class Request(msgspec.Struct, frozen=True, dict=True):
    """One question to a teacher.

    Attributes:
        kind: What the reply is for.
        scene_id: The scene it is about.
        messages: The chat, as sent.
        model: ``teacher/model``, for example ``openai/gpt-4o``.
        sampling: As sent.
        response_schema: JSON schema that the server shall enforce, or None.
        scene: Only for a teacher that reads the annotations instead of the messages (`geometric`).
    """

    kind: RequestKind
    scene_id: str
    messages: tuple[Message, ...]
    model: str
    sampling: Sampling
    response_schema: Mapping[str, Any] | None = None
    scene: Scene | None = None

    @functools.cached_property
    def request_id(self) -> str:
        """Hash of everything that changes the answer and of nothing else (32 hex digits)."""
        answer_depends_on = (self.messages, self.model, self.sampling, self.response_schema, self.scene)
        encoded = msgspec.json.encode(answer_depends_on, order="deterministic")
        return hashlib.blake2b(encoded, digest_size=16).hexdigest()

    @property
    def sample_kind(self) -> KindName:
        """The kind of the sample that the reply becomes.

        Raises:
            ValueError: It becomes none.
        """
        if self.kind == "answer" or self.kind == "judge":
            raise ValueError(f"expected a request for a sample ({', '.join(KIND_NAMES)}), found kind {self.kind}")
        return self.kind


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the server counted them; ``cached_tokens`` are part of ``prompt_tokens``."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class Reply(msgspec.Struct, frozen=True):
    """What a teacher answered, as it came.

    Attributes:
        request_id: Of the request it answers.
        text: Raw; empty for a refusal or an error.
        finish_reason: The server's own (``stop``, ``length``, ``content_filter``), ``refusal``, or ``error``
            for a request that this server will never answer.
        usage: None where the server did not count.
        usd: None where the price is not known.
        latency_s: From sending to the last byte.
        model: As the server named it.
        created_at: ISO 8601, UTC.
        error: The server's words, for ``refusal`` and ``error``.
    """

    request_id: str
    text: str
    finish_reason: str
    usage: Usage | None
    usd: float | None
    latency_s: float
    model: str
    created_at: str
    error: str | None = None


class QuestionAnswer(msgspec.Struct, frozen=True):
    """One exchange, as parsed from a reply."""

    question: str
    answer: str


class Turn(msgspec.Struct, frozen=True, rename={"role": "from"}):
    """One turn in LLaVA's format; the first human turn of a sample starts with ``<image>``."""

    role: Literal["human", "gpt"]
    value: str


class Lineage(msgspec.Struct, frozen=True):
    """Where a sample comes from.

    Attributes:
        request_id: Finds the reply in the ledger.
        teacher: ``teacher/model`` as asked.
        prompt_version: Hash of the kind's wording.
        dropped: What a prompt-size limit left out, such as ``objects=3``; empty when nothing.
        repairs: Id of the request whose reply had a fault, where this one was asked for instead; else empty.
    """

    request_id: str
    teacher: str
    prompt_version: str
    dropped: tuple[str, ...] = ()
    repairs: str = ""


class Fault(msgspec.Struct, frozen=True):
    """Something that a check found in a sample.

    Attributes:
        check: Which family of checks.
        reason: A short name, the same for the same fault, to count by.
        turn: Index into the sample's turns.
        start: Where in ``conversations[turn].value`` it is, in characters.
        end: Likewise, exclusive; equal to `start` where it is no place in the text.
        detail: One sentence for a person, and for the teacher that is asked again.
    """

    check: Literal["leak", "form", "grounding"]
    reason: str
    turn: int
    start: int
    end: int
    detail: str


VerdictName = Literal["supported", "contradicted", "unverifiable"]
VERDICT_NAMES: Final[tuple[VerdictName, ...]] = ("supported", "contradicted", "unverifiable")


class GroundedClaim(msgspec.Struct, frozen=True):
    """One claim of a sample about people in the picture, and what the keypoints say of it.

    Attributes:
        turn: Index into the sample's turns.
        start: The words that make the claim, in characters of ``conversations[turn].value``.
        end: Likewise, exclusive.
        name: A key of `kpray.quality.grounding.claims.CLAIMS`.
        value: One of ``CLAIMS[name]``, or a number in digits.
        side: The person's own side, for claims about an arm or leg; else empty.
        negated: Whether the text denies it.
        hedged: Whether the text only thinks so ("appears to").
        verdict: Of the claim as the text makes it, so with `negated` taken into account.
        people: Indices into ``Scene.people`` of all whom the text could mean; empty where that is not known.
        person: The one whose code decided; None where none did.
        code: The deciding `kpray.pose.PoseCode` as ``name=value``, with the side in front where it has one
            (``left elbow=bent``); empty where the verdict is ``unverifiable``.
        keypoints: Indices (0..16) of the keypoints that decided; empty when only boxes did.
        margin: Of the deciding code; None where the verdict is ``unverifiable``.
    """

    turn: int
    start: int
    end: int
    name: str
    value: str
    side: Literal["left", "right", "both", "one", ""]
    negated: bool
    hedged: bool
    verdict: VerdictName
    people: tuple[int, ...]
    person: int | None
    code: str
    keypoints: tuple[int, ...]
    margin: float | None


class Sample(msgspec.Struct, frozen=True):
    """One training record.

    Attributes:
        sample_id: Unique in the dataset.
        kind: Of its request.
        scene_id: Of the scene it is about.
        image: Path relative to the folder of images.
        conversations: In LLaVA's form, human and gpt in turn.
        lineage: Where it comes from.
        claims: What it says that pose codes could decide, in the order of the text.
        faults: What the checks found and did not reject it for (``check: report``).
    """

    sample_id: str
    kind: KindName
    scene_id: str
    image: str
    conversations: tuple[Turn, ...]
    lineage: Lineage
    claims: tuple[GroundedClaim, ...] = ()
    faults: tuple[Fault, ...] = ()


class Rejected(msgspec.Struct, frozen=True):
    """Something that did not become a sample, and why.

    Attributes:
        scene_id: The scene it was about.
        kind: Empty when a whole scene is rejected.
        request_id: Empty when nothing was asked.
        stage: ``scene`` (nothing was asked), ``teacher`` (no usable reply), ``parse`` or ``check``.
        reason: A short name, the same for the same fault, to count by.
        detail: One sentence for a person.
        seen: What was there instead (the raw reply, cut to a sensible length).
        conversations: Of a sample that did not pass the checks, as the next two.
        claims: What it says that pose codes could decide.
        faults: What the checks found.
    """

    scene_id: str
    kind: str
    request_id: str
    stage: Literal["scene", "teacher", "parse", "check"]
    reason: str
    detail: str
    seen: str
    conversations: tuple[Turn, ...] = ()
    claims: tuple[GroundedClaim, ...] = ()
    faults: tuple[Fault, ...] = ()
