"""Grounding on paragraphs of the kind teachers write, labelled by looking at the images.

Run:
    python benchmarks/grounding_paragraphs.py --coco FOLDER [--show]

FOLDER has ``annotations/captions_val2017.json``, ``annotations/person_keypoints_val2017_rebuilt.json`` and
``annotations/instances_val2017_subset.json``. ``--show`` lists what was missed and what was accused. The paragraphs
stand in grounding_paragraphs.yaml beside this file, which says what its labels mean.

A sentence is flagged if a claim that begins in it is contradicted, and decidable if a claim that begins in it is
supported or contradicted. Its labelled claim is found if a claim of that name begins in it.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
import yaml
from grounding_figures import wilson
from measuring import markdown

from kpray.coco import CocoSource, SceneFilter, read_scenes
from kpray.pose import scene_codes
from kpray.quality.grounding.ground import ground
from kpray.schemas import GroundedClaim, KindName, Scene

PARAGRAPHS: Final = Path(__file__).with_suffix(".yaml")
QUESTION, ANSWER = 0, 1
LABELS: Final = (False, True, "none", "question")


class Sentence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One sentence; see the head of the YAML file for its labels."""

    text: str
    label: bool | Literal["none"]
    about: str
    why: str = ""


class Paragraph(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question about an image and the sentences of its answer."""

    image: str
    kind: KindName
    question: str
    sentences: tuple[Sentence, ...]

    @property
    def scene_id(self) -> str:
        """The image's id as scenes have it."""
        return str(int(self.image))

    def starts(self) -> list[int]:
        """Where each sentence begins in the joined answer, in characters."""
        return list(itertools.accumulate((len(s.text) + 1 for s in self.sentences[:-1]), initial=0))


@dataclass(frozen=True)
class Judged:
    """A sentence, or a question (then `sentence` is None), and the claims that begin in it."""

    paragraph: Paragraph
    sentence: Sentence | None
    claims: tuple[GroundedClaim, ...]

    @property
    def label(self) -> bool | str:
        """The sentence's label, or ``question``."""
        return "question" if self.sentence is None else self.sentence.label

    @property
    def contradicted(self) -> tuple[GroundedClaim, ...]:
        """The claims for which the sentence is flagged."""
        return tuple(c for c in self.claims if c.verdict == "contradicted")

    @property
    def found(self) -> bool:
        """Whether the claim that the label is about was found, with whatever verdict."""
        return self.sentence is not None and any(c.name == self.sentence.about for c in self.claims)

    @property
    def decidable(self) -> bool:
        """Whether any claim has a verdict."""
        return any(c.verdict != "unverifiable" for c in self.claims)

    @property
    def flagged_as_labelled(self) -> bool:
        """Whether a contradicted claim is the one that the label is about."""
        return self.sentence is not None and any(c.name == self.sentence.about for c in self.contradicted)


def read_paragraphs(path: Path = PARAGRAPHS) -> list[Paragraph]:
    """The labelled paragraphs, in the file's order."""
    return msgspec.convert(yaml.safe_load(path.read_bytes()), list[Paragraph])


def scenes_of(paragraphs: Sequence[Paragraph], annotations: Path) -> dict[str, Scene]:
    """The scenes that the paragraphs are about, by id."""
    source = CocoSource(
        captions=str(annotations / "captions_val2017.json"),
        keypoints=str(annotations / "person_keypoints_val2017_rebuilt.json"),
        instances=str(annotations / "instances_val2017_subset.json"),
    )
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as ids:
        ids.write("\n".join(sorted({p.scene_id for p in paragraphs})))
        ids.flush()
        wanted = SceneFilter(min_people=0, min_keypoints=0, image_list=ids.name)
        return {scene.scene_id: scene for scene in read_scenes(source, wanted)}


def judge(paragraph: Paragraph, scene: Scene) -> Iterator[Judged]:
    """The question and each sentence of the answer with their claims."""
    answer = " ".join(s.text for s in paragraph.sentences)
    claims = ground([paragraph.question, answer], scene, scene_codes(scene))
    yield Judged(paragraph, None, tuple(c for c in claims if c.turn == QUESTION))
    starts = paragraph.starts()
    for sentence, start, end in zip(paragraph.sentences, starts, [*starts[1:], len(answer)], strict=True):
        inside = tuple(c for c in claims if c.turn == ANSWER and start <= c.start < end)
        yield Judged(paragraph, sentence, inside)


def share(hits: int, of: int) -> str:
    """A share with its 95 % interval, in percent."""
    if not of:
        return "-"
    low, high = wilson(hits, of)
    return f"{hits / of:.1%} ({low:.1%} to {high:.1%})"


def print_labels(judged: Sequence[Judged]) -> None:
    """Print a row for each label: how many make a claim, are decidable, are flagged."""
    rows = [_row(str(label).lower(), [j for j in judged if j.label == label]) for label in LABELS]
    names = ("label", "sentences", "with a claim", "decidable", "flagged", "share (95 %)")
    print(markdown(rows, {name: (name, None) for name in names}))
    false = [j for j in judged if j.label is False]
    decided = [j for j in false if j.decidable]
    flagged = sum(bool(j.contradicted) for j in decided)
    print(f"\nfalse sentences flagged, of the decidable: {share(flagged, len(decided))}")
    same = sum(j.flagged_as_labelled for j in false)
    print(f"false sentences flagged for what is false in them: {share(same, len(false))}\n")


def _row(label: str, some: Sequence[Judged]) -> dict[str, str | int]:
    flagged = sum(bool(j.contradicted) for j in some)
    return {
        "label": label,
        "sentences": len(some),
        "with a claim": sum(bool(j.claims) for j in some),
        "decidable": sum(j.decidable for j in some),
        "flagged": flagged,
        "share (95 %)": share(flagged, len(some)),
    }


def print_groups(title: str, judged: Sequence[Judged], group: Callable[[Judged], str]) -> None:
    """Print by group how many false and true sentences are understood, decidable and flagged."""
    rows = []
    for name in sorted({group(j) for j in judged}):
        row: dict[str, str | int] = {title: name or "-"}
        for label in (False, True):
            some = [j for j in judged if j.label is label and group(j) == name]
            said = str(label).lower()
            row |= {
                said: len(some),
                f"{said}, found": sum(j.found for j in some),
                f"{said}, decidable": sum(j.decidable for j in some),
                f"{said}, flagged": sum(bool(j.contradicted) for j in some),
            }
        rows.append(row)
    print(markdown(rows, {name: (name, None) for name in rows[0]}), end="\n\n")


def show(judged: Sequence[Judged]) -> None:
    """List the false sentences that were missed, and all others that were accused."""
    for j in judged:
        if (j.label is False) == bool(j.contradicted):
            continue
        text, what = (j.sentence.text, j.sentence.about) if j.sentence else (j.paragraph.question, "")
        fate = "MISSED" if j.label is False else f"ACCUSED ({str(j.label).lower()})"
        print(f"{fate} {j.paragraph.scene_id} {j.paragraph.kind} {what}: {text}")
        for c in j.claims:
            words = f"{'not ' if c.negated else ''}{c.side} {c.name}={c.value}".strip()
            print(f"    {words}: {c.verdict} {c.code} margin {c.margin}, person {c.person} of {c.people}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    paragraphs = read_paragraphs()
    scenes = scenes_of(paragraphs, options.coco / "annotations")
    judged = [j for p in paragraphs for j in judge(p, scenes[p.scene_id])]
    print(f"{len(paragraphs)} paragraphs over {len(scenes)} images\n")
    print_labels(judged)
    posed = [j for j in judged if isinstance(j.label, bool)]
    print_groups("about", posed, lambda j: j.sentence.about if j.sentence else "")
    print_groups("kind", posed, lambda j: j.paragraph.kind)
    if options.show:
        show(judged)


if __name__ == "__main__":
    main()
