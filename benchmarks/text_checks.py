"""How often the leak and form checks are right on labelled sentences, and how fast they are.

Run:
    python benchmarks/text_checks.py
    python benchmarks/text_checks.py --run FOLDER     # also the speed, over the samples of a run of kpray generate
    python benchmarks/text_checks.py --captions FILE  # accusations of the captions of a COCO captions file
    python benchmarks/text_checks.py --show tuned     # the wrong ones of the half that patterns may be tuned on

The labelled sentences are in tests/quality/labelled_sentences.yaml. Half of them, chosen by their words, were
never looked at while the patterns were tuned; figures are given for either half.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import yaml

from kpray.quality.form import form_faults
from kpray.quality.leaks import leak_faults
from kpray.schemas import KindName, Turn

LABELLED = Path(__file__).parents[1] / "tests" / "quality" / "labelled_sentences.yaml"
_SEED = "kpray"
_PLAIN_QUESTION = "What can be said about them?"
_PLAIN_ANSWER = (
    "The person in the picture stands with both feet on the ground and looks ahead. Such a stance keeps the weight "
    "over the base, so that a step can follow at once, and it costs little strength to hold."
)


class Entry(NamedTuple):
    """One labelled text: `reason` is what it has, or, where not `faulty`, what it looks like."""

    reason: str
    faulty: bool
    held_out: bool
    text: str
    turns: tuple[Turn, Turn]
    kind: KindName | None


class Score(NamedTuple):
    """Precision counts entries that were accused wrongly, recall those that were not accused of their reason."""

    found: int
    missed: int
    accused: int

    @property
    def precision(self) -> float:
        """Of what was accused, the share that is faulty."""
        return self.found / max(1, self.found + self.accused)

    @property
    def recall(self) -> float:
        """Of what is faulty, the share that was accused of it."""
        return self.found / max(1, self.found + self.missed)


def read_labelled(path: Path = LABELLED) -> list[Entry]:
    """All entries, each in the half that its words decide."""
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))
    entries = []
    for reasons in groups.values():
        for reason, texts in reasons.items():
            for label in ("faulty", "clean"):
                entries += [_entry(reason, label == "faulty", text) for text in texts[label]]
    return entries


def _entry(reason: str, faulty: bool, text: str | dict[str, str]) -> Entry:
    pair = {"a": text} if isinstance(text, str) else text
    question, answer = pair.get("q", _PLAIN_QUESTION), pair.get("a", _PLAIN_ANSWER)
    words = f"{question}|{answer}"
    held_out = hashlib.blake2b(f"{_SEED}|{words}".encode()).digest()[0] % 2 == 0
    turns = (Turn("human", f"<image>\n{question}"), Turn("gpt", answer))
    kind: KindName | None = "reasoning" if pair.get("kind") == "reasoning" else None
    return Entry(reason, faulty, held_out, answer if isinstance(text, str) else words, turns, kind)


def reasons_found(entry: Entry) -> set[str]:
    """Every reason that the checks name."""
    faults = [*leak_faults(entry.turns), *form_faults(entry.turns, kind=entry.kind)]
    return {fault.reason for fault in faults}


def wrong(entries: list[Entry]) -> list[tuple[Entry, set[str]]]:
    """The entries that are not judged as labelled."""
    judged = [(entry, reasons_found(entry)) for entry in entries]
    return [(e, reasons) for e, reasons in judged if (e.reason not in reasons if e.faulty else reasons)]


def score(entries: list[Entry]) -> dict[str, Score]:
    """By reason, and for ``all``.

    A clean entry that is accused of anything counts against the reason that it is accused of; a faulty one
    that is accused of something else as well does not.
    """
    found: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    accused: Counter[str] = Counter()
    for entry in entries:
        reasons = reasons_found(entry)
        if entry.faulty:
            (found if entry.reason in reasons else missed)[entry.reason] += 1
        else:
            accused.update(reasons)
            accused["all"] += bool(reasons)
    found["all"], missed["all"] = found.total(), missed.total()
    names = [*dict.fromkeys(entry.reason for entry in entries), *sorted(accused)]
    return {name: Score(found[name], missed[name], accused[name]) for name in dict.fromkeys([*names, "all"])}


def read_run(folder: Path) -> list[tuple[KindName, tuple[Turn, ...]]]:
    """The samples of a run: their kind and their turns."""
    samples = []
    for file in sorted(folder.glob("samples/kind=*/*.parquet")):
        kind = file.parent.name.removeprefix("kind=")
        for row in pq.ParquetFile(file).read(columns=["conversations"]).to_pylist():
            samples.append((kind, tuple(Turn(turn["from"], turn["value"]) for turn in row["conversations"])))
    return samples


def _print_scores(entries: list[Entry]) -> None:
    halves = {"tuned on": False, "held out": True}
    scores = {name: score([e for e in entries if e.held_out == held]) for name, held in halves.items()}
    print(f"{len(entries)} entries, {sum(e.faulty for e in entries)} of them faulty")
    print(f"{'reason':28}" + "".join(f"{name + ': n':>14}{'precision':>11}{'recall':>9}" for name in halves))
    for reason in scores["tuned on"] | scores["held out"]:
        cells = []
        for name in halves:
            one = scores[name].get(reason, Score(0, 0, 0))
            cells.append(f"{one.found + one.missed:>14}{one.precision:>11.3f}{one.recall:>9.3f}")
        print(f"{reason:28}{''.join(cells)}")


def _print_speed(folder: Path) -> None:
    samples = read_run(folder)
    reasons: Counter[str] = Counter()
    start = time.perf_counter()
    for kind, turns in samples:
        reasons.update(fault.reason for fault in leak_faults(turns))
        reasons.update(fault.reason for fault in form_faults(turns, kind=kind))
    took = time.perf_counter() - start
    words = sum(len(turn.value.split()) for _, turns in samples for turn in turns)
    print(
        f"{len(samples)} samples of {words / len(samples):.0f} words: {len(samples) / took:,.0f} samples/s on one core"
    )
    print("faults:", dict(reasons) or "none")


def _print_captions(file: Path) -> None:
    """What is found in sentences that people wrote who saw the pictures; a full stop is added where it lacks."""
    captions = [one["caption"].strip() for one in json.loads(file.read_bytes())["annotations"]]
    reasons: Counter[str] = Counter()
    for caption in captions:
        turns = (Turn("human", f"<image>\n{_PLAIN_QUESTION}"), Turn("gpt", caption.rstrip(".") + "."))
        for fault in (*leak_faults(turns), *form_faults(turns, kind=None)):
            reasons[fault.reason] += 1
            print(f"{fault.reason}: {caption}")
    print(f"{len(captions):,} captions:", dict(reasons) or "nothing found")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--show", choices=("tuned", "held-out"))
    arguments = parser.parse_args()
    entries = read_labelled()
    if arguments.show:
        shown = [entry for entry in entries if entry.held_out == (arguments.show == "held-out")]
        for entry, reasons in wrong(shown):
            label = "missed" if entry.faulty else "accused"
            print(f"{label} {entry.reason}: {entry.text!r} -> {sorted(reasons)}")
        return
    _print_scores(entries)
    if arguments.run:
        _print_speed(arguments.run)
    if arguments.captions:
        _print_captions(arguments.captions)


if __name__ == "__main__":
    main()
