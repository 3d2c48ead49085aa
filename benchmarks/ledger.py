"""What a ledger costs to look at and to merge, and what merging saves.

Run from the repository's root::

    python benchmarks/ledger.py --replies 100000 1000000

For each size a ledger is drawn: folders of 1,536 replies (512 scenes, three kinds) of about 1.2 kB a line, the texts
being words from a vocabulary of 4,000 by Zipf's law (50,000 different texts); 1 in 200 requests was bought again, 1 in
200 is in doubt. Then, each in a process of its own, so that its memory is its own: ``kpray ledger show`` and ``verify``
(the same pass), ``show`` of a single request, ``export``, ``compact``, and all but ``compact`` again. "one shard" is
the median of `read_ledger` over 50 folders, as every shard does before it asks. The counts must be the same before
and after.

Files are in the page cache: drawing them has put them there. Memory is the peak resident set.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measuring import Timings, in_new_process, markdown

PER_FOLDER = 1_536
_SCENES_PER_FOLDER = 512
_WORDS_PER_REPLY = 150
_VOCABULARY = 4_000
_TEXTS = 50_000
_ONE_IN = 200


def draw(replies: int, ledger: str) -> Timings:
    """Write a ledger of so many answered requests."""
    from kpray.ledger.journal import SceneRange, write_replies

    rng = random.Random(0)
    words = ["".join(rng.choices("etaoinshrdlucmfw", k=rng.randint(2, 9))) for _ in range(_VOCABULARY)]
    weights = [1 / rank for rank in range(1, _VOCABULARY + 1)]
    texts = [" ".join(rng.choices(words, weights, k=_WORDS_PER_REPLY)) for _ in range(_TEXTS)]
    for number, start in enumerate(range(0, replies, PER_FOLDER)):
        scenes = SceneRange(f"{number * _SCENES_PER_FOLDER}", f"{(number + 1) * _SCENES_PER_FOLDER - 1}")
        ids = [request_id(i) for i in range(start, min(start + PER_FOLDER, replies))]
        write_replies(ledger, scenes, [_reply(i, rng.choice(texts)) for i in ids], run="first")
        again = [_reply(i, f"again {i}", day=2) for i in ids[::_ONE_IN]]
        write_replies(ledger, scenes, again, run="second")
        _write_sent(Path(ledger) / scenes.folder, ids[::_ONE_IN])
    return {}


def request_id(number: int) -> str:
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def _reply(request_id: str, text: str, day: int = 1) -> Any:
    from kpray.schemas import Reply, Usage

    usage = Usage(1_900 + len(text) % 300, len(text) // 4, 1_536)
    latency_s = 1 + len(text) % 977 / 311
    created_at = f"2026-01-{day:02}T{len(text) % 24:02}:{len(text) % 60:02}:11.{len(text) % 999_983:06}+00:00"
    return Reply(request_id, text, "stop", usage, 0.0123, latency_s, "gpt-4o-2024-08-06", created_at)


def _write_sent(folder: Path, ids: list[str]) -> None:
    from kpray.ledger.lines import encode_sent

    lines = [encode_sent(f"{request_id[:-5]}doubt", "first") for request_id in ids]
    (folder / "killed.jsonl").write_bytes(b"".join(lines))


def show(ledger: str, out: str) -> Timings:
    from kpray.ledger.inspection import survey

    with Clock() as clock:
        counts = survey(ledger)
    sums = {name: getattr(counts, name) for name in ("answered", "replies", "bought_again", "in_doubt")}
    return {**clock.timings, "files": counts.files, "size_mb": counts.bytes / 1e6, **sums}


def show_one(ledger: str, out: str) -> Timings:
    from kpray.ledger.inspection import find

    with Clock() as clock:
        assert find(ledger, request_id(0)).kept
    return clock.timings


def export_all(ledger: str, out: str) -> Timings:
    from kpray.ledger.exports import export

    with Clock() as clock:
        export(ledger, str(Path(out, "replies.parquet")))
    return clock.timings


def compact_all(ledger: str, out: str) -> Timings:
    from kpray.ledger.compaction import compact

    with Clock() as clock:
        compact(ledger)
    return clock.timings


def one_shard(ledger: str, out: str) -> Timings:
    from kpray.ledger.journal import folders, read_ledger

    read_ledger(ledger, folders(ledger)[0])  # imports and first calls are not counted
    reads = []
    for scenes in random.Random(1).choices(folders(ledger), k=50):
        with Clock() as clock:
            assert read_ledger(ledger, scenes).replies
        reads.append(clock.timings)
    return {name: statistics.median(timings[name] for timings in reads) for name in reads[0]}


class Clock:
    """Wall and CPU seconds of a `with` block."""

    def __enter__(self) -> Clock:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *exception: object) -> None:
        self.timings = {"seconds": time.perf_counter() - self._wall, "cpu_s": time.process_time() - self._cpu}


LOOKS = {"show, verify": show, "show one request": show_one, "export": export_all, "one shard": one_shard}


def measure(replies: int) -> Iterator[dict[str, Any]]:
    """Draw a ledger, look at it, merge it, look again."""
    with tempfile.TemporaryDirectory() as ledger:
        draw(replies, ledger)
        before = {name: in_new_process(look, ledger) for name, look in LOOKS.items()}
        yield from _rows(replies, "lines", before)
        yield from _rows(replies, "lines", {"compact": in_new_process(compact_all, ledger)})
        after = {name: in_new_process(look, ledger) for name, look in LOOKS.items()}
        yield from _rows(replies, "merged", after)
    for fact in ("answered", "replies", "bought_again", "in_doubt"):
        assert before["show, verify"][fact] == after["show, verify"][fact] > 0, fact


def _rows(replies: int, form: str, measured: dict[str, Timings]) -> Iterator[dict[str, Any]]:
    for name, timings in measured.items():
        yield {"requests": f"{replies:,}", "ledger": form, "what": name, **timings}


COLUMNS = {
    "requests": ("requests", None),
    "ledger": ("ledger", None),
    "what": ("what", None),
    "seconds": ("time, s", 3),
    "cpu_s": ("CPU, s", 3),
    "peak_mb": ("memory, MB", 0),
    "files": ("files", 0),
    "size_mb": ("size, MB", 1),
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replies", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON as the last line")
    arguments = parser.parse_args()
    rows = [row for replies in arguments.replies for row in measure(replies)]
    print(markdown(rows, COLUMNS))
    if arguments.json:
        print(json.dumps(rows))
