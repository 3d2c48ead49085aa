"""How often grounding contradicts false statements about real people, and how often it accuses true ones.

Run from the repository's root, with the folder that holds COCO's ``annotations/``::

    python benchmarks/grounding.py --coco COCO_FOLDER --set dev --show 40
    python benchmarks/grounding.py --coco COCO_FOLDER --set heldout --json out.json
    python benchmarks/grounding.py --coco COCO_FOLDER --geometric 500

Statements are made of pose codes (`grounding_facts` says what is true and what is false beyond doubt, independently of
how kpray decides), of ways to name a person that leave no doubt who is meant (`grounding_people`), and of wordings in
``grounding_phrases_*.yaml``. The wordings were cut in two at random: the extractor was written with one half in sight,
and its figures are those on the other, ``heldout``. Examples from that half are not shown, so that nobody writes
rules for them.

A false statement counts as found if any of its claims is contradicted, a true one as accused likewise. Intervals in the
tables are Wilson's at 95 %. They take statements for independent, but those in one wording stand and fall together;
the intervals beside the two figures on top therefore come from drawing wordings, with all their statements, anew.
With ``--geometric N``, the same for what kpray's own teacher writes about N scenes, from the same codes: nothing of
that should be contradicted.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from grounding_draws import draws
from grounding_figures import Judged, share, summary, table
from grounding_people import captions_agree
from grounding_statements import Statement, statements
from grounding_wording import SETS, Phrases

from kpray.coco import CocoSource, SceneFilter, read_scenes
from kpray.pose import PoseCode, scenes_codes
from kpray.prompts import KINDS
from kpray.quality.grounding.decide import decide
from kpray.quality.grounding.extract import extract
from kpray.quality.grounding.ground import ground
from kpray.schemas import KindName, Scene
from kpray.teachers.geometric.compose import compose_from_codes

TIMED: Final = 2_000
"""Statements that the times are taken from."""


def read(coco: Path) -> tuple[list[Scene], list[tuple[PoseCode, ...]], list[bool]]:
    """Scenes of val2017, their codes, and whether everybody in them is annotated.

    The rebuilt file lacks people without labelled keypoints, except in the images of the original subset; of the other
    scenes those count as whole whose captions agree with the annotations on how many people there are.
    """
    folder = coco / "annotations"
    source = CocoSource(
        captions=str(folder / "captions_val2017.json"),
        keypoints=str(folder / "person_keypoints_val2017_rebuilt.json"),
        instances=str(folder / "instances_val2017_subset.json"),
    )
    scenes = list(read_scenes(source, SceneFilter()))
    original = json.loads((folder / "person_keypoints_val2017_original_subset.json").read_bytes())
    whole = {str(image["id"]) for image in original["images"]}
    return scenes, scenes_codes(scenes), [scene.scene_id in whole or captions_agree(scene) for scene in scenes]


def judge(statement: Statement, scene: Scene, codes: Sequence[PoseCode]) -> Judged:
    """Ground one statement."""
    claims = ground([f"<image>\n{statement.question}", statement.answer], scene, codes)
    return Judged(statement, overall({claim.verdict for claim in claims}), claims)


def overall(verdicts: set[str]) -> str:
    """One verdict of those of several claims.

    >>> overall({"supported", "contradicted"}), overall(set())
    ('contradicted', 'no claim')
    """
    return next((v for v in ("contradicted", "supported", "unverifiable") if v in verdicts), "no claim")


def times_ms(
    sample: Sequence[Statement], scenes: Sequence[Scene], codes: Sequence[Sequence[PoseCode]]
) -> tuple[float, float]:
    """Milliseconds of CPU a statement, of extraction and of decision."""
    start = time.process_time()
    claims = [extract([statement.question, statement.answer]) for statement in sample]
    middle = time.process_time()
    for statement, found in zip(sample, claims, strict=True):
        decide(found, scenes[statement.scene], codes[statement.scene])
    end = time.process_time()
    return 1e3 * (middle - start) / len(sample), 1e3 * (end - middle) / len(sample)


def show(judged: Iterable[Judged], count: int) -> None:
    """Print accused true statements first, then missed false ones."""
    accused = [each for each in judged if each.statement.true and each.verdict == "contradicted"]
    missed = [each for each in judged if not each.statement.true and each.verdict != "contradicted"]
    random.Random(0).shuffle(missed)
    for title, some in (("ACCUSED", accused), ("MISSED", missed)):
        for each in some[:count]:
            s = each.statement
            claims = "; ".join(f"{c.name}={c.value} {c.side} {c.verdict} {c.people} {c.code}" for c in each.claims)
            print(f"{title} {s.fact.name}={s.fact.value} {s.fact.side} {s.flip} who={s.who} [{claims or 'no claim'}]")
            print(f"    {s.question} | {s.answer}")


def measure(coco: Path, which: str, *, seed: int, each: int, shown: int, json_path: Path | None) -> None:
    """Draw statements, ground them and print the tables."""
    scenes, codes, complete = read(coco)
    drawn = statements(scenes, draws(scenes, codes, complete), Phrases(which), seed=seed, each=each)
    judged = [judge(s, scenes[s.scene], codes[s.scene]) for s in drawn]
    figures = summary(judged)
    extraction, decision = times_ms(drawn[:TIMED], scenes, codes)
    figures |= {"extract_ms": extraction, "decide_ms": decision}
    print(f"set {which}, seed {seed}: {len({s.scene for s in drawn})} scenes\n")
    for name, value in figures.items():
        print(f"{name:30} {value}" if isinstance(value, int) else f"{name:30} {value:.4f}")
    tables = {
        "claim": table("claim", judged, lambda s: s.fact.name),
        "flip": table("flip", judged, lambda s: s.flip or "none"),
        "frame": table("frame", judged, lambda s: s.frame),
        "named as": table("named as", judged, lambda s: s.who),
    }
    for rows in tables.values():
        print("\n" + "\n".join(rows))
    if shown:
        print()
        show(judged, shown)
    if json_path is not None:
        json_path.write_text(json.dumps({"set": which, "seed": seed, "figures": figures, "tables": tables}, indent=1))


def measure_geometric(coco: Path, count: int, *, seed: int, shown: int) -> None:
    """What the embedded teacher writes about `count` scenes, claim by claim."""
    scenes, codes, _ = read(coco)
    chosen = sorted(random.Random(seed).sample(range(len(scenes)), min(count, len(scenes))))
    verdicts: Counter[str] = Counter()
    samples = contradicted = 0
    cpu = 0.0
    for index in chosen:
        for kind in KINDS:
            for texts in _written(kind, scenes[index], codes[index], seed):
                start = time.process_time()
                claims = ground(texts, scenes[index], codes[index])
                cpu += time.process_time() - start
                wrong = [claim for claim in claims if claim.verdict == "contradicted"]
                verdicts.update(claim.verdict for claim in claims)
                samples += 1
                contradicted += bool(wrong)
                if wrong and contradicted <= shown:
                    claim = wrong[0]
                    said = texts[claim.turn][max(0, claim.start - 80) : claim.end + 80]
                    print(f"{scenes[index].scene_id} {claim.name}={claim.value} {claim.side} {claim.code}: {said!r}")
    print(f"geometric teacher, {len(chosen)} scenes: {samples} samples, contradicted {share(contradicted, samples)}")
    print(f"claims: {dict(verdicts)}; {1e3 * cpu / max(samples, 1):.2f} ms of CPU a sample")


def _written(kind: KindName, scene: Scene, codes: Sequence[PoseCode], seed: int) -> list[list[str]]:
    """The texts of the samples that one reply makes: each exchange is a sample, as the paper counts."""
    answers = compose_from_codes(kind, scene, tuple(codes), seed=seed)
    return [[f"<image>\n{turn.question}", turn.answer] for turn in answers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--set", choices=(*SETS, "more"), default="dev", dest="which")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=5_000, help="how many true and how many false statements")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print N accused and N missed statements")
    parser.add_argument("--reveal", action="store_true", help="allow --show with --set heldout, which spoils that set")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--geometric", type=int, metavar="N", help="kpray's own teacher on N scenes instead")
    options = parser.parse_args()
    if options.geometric:
        measure_geometric(options.coco, options.geometric, seed=options.seed, shown=options.show)
        return
    if options.which == "heldout" and options.show and not options.reveal:
        parser.error("--show with --set heldout would spoil it; use --set dev, or add --reveal and write new wordings")
    measure(
        options.coco,
        options.which,
        seed=options.seed,
        each=options.each,
        shown=options.show,
        json_path=options.json,
    )


if __name__ == "__main__":
    main()
