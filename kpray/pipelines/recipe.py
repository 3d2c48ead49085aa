"""What a scene becomes: everything that decides the contents of a dataset besides its scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from kpray.config import GenerateConfig
from kpray.prompts import KINDS
from kpray.prompts.kind import Prompt
from kpray.prompts.repair import repair_messages
from kpray.quality import checks
from kpray.schemas import Fault, KindName, Reply, Request, Sampling, Scene


class Recipe(msgspec.Struct, frozen=True):
    """How scenes become requests and replies become samples.

    Attributes:
        kinds: Which kinds, in order.
        turns: ``single`` or ``multi``; see `GenerateConfig`.
        seed: Of every draw.
        max_context_chars: Limit of a scene's context.
        structured: Whether the server enforces the schema.
        model: ``teacher/model``.
        reads_scene: Whether the teacher answers from the scene itself.
        sampling: As sent.
        prompt_versions: Hash of each kind's wording.
        check: What becomes of samples with a fault.
        checks_version: Of the checks; see `kpray.quality.checks.VERSION`.
        spacy_model: See `CheckConfig`.
    """

    kinds: tuple[KindName, ...]
    turns: Literal["single", "multi"]
    seed: int
    max_context_chars: int
    structured: bool
    model: str
    reads_scene: bool
    sampling: Sampling
    prompt_versions: Mapping[str, str]
    check: Literal["report", "repair", "reject"] = "repair"
    checks_version: int = checks.VERSION
    spacy_model: str | None = None

    @classmethod
    def of(cls, config: GenerateConfig, *, model: str, reads_scene: bool) -> Recipe:
        """The recipe that a configuration asks for."""
        structured = config.teacher.structured_output
        return cls(
            kinds=config.kinds,
            turns=config.turns,
            seed=config.seed,
            max_context_chars=config.max_context_chars,
            structured=structured,
            model=model,
            reads_scene=reads_scene,
            sampling=config.teacher.sampling,
            prompt_versions={kind: KINDS[kind].version(structured=structured) for kind in config.kinds},
            check="reject" if config.check.mode == "repair" and reads_scene else config.check.mode,
            spacy_model=config.check.spacy_model,
        )

    @property
    def repairs(self) -> bool:
        """Whether a reply with a fault is asked for once more."""
        return self.check == "repair"

    def prompt(self, kind: KindName, scene: Scene) -> Prompt:
        """The rendered prompt of one kind for one scene."""
        return KINDS[kind].render(
            scene, seed=self.seed, structured=self.structured, max_context_chars=self.max_context_chars
        )

    def request(self, kind: KindName, scene: Scene, prompt: Prompt) -> Request:
        """The request that sends a prompt."""
        return Request(
            kind=kind,
            scene_id=scene.scene_id,
            messages=prompt.messages,
            model=self.model,
            sampling=self.sampling,
            response_schema=prompt.response_schema,
            scene=scene if self.reads_scene else None,
        )

    def repair(self, kind: KindName, scene: Scene, reply: Reply, faults: Sequence[Fault]) -> Request:
        """The request that asks again for what had a fault, which it names."""
        prompt = self.prompt(kind, scene)
        messages = repair_messages(prompt.messages, reply.text, faults)
        return self.request(kind, scene, msgspec.structs.replace(prompt, messages=messages))
