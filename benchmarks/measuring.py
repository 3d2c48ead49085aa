"""Running something in a process of its own and watching its memory, for the benchmarks beside this."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

MB = 1 << 20

Timings = dict[str, float]
Work = Callable[[Any, str], Timings]
Columns = Mapping[str, tuple[str, int | None]]


def in_new_process(work: Work, argument: Any) -> Timings:
    """Run ``work(argument, folder)`` in a new process, with an empty folder to write to.

    Returns:
        What `work` returned; ``peak_mb``, the peak resident set (VmHWM, so Linux only) of the largest process that
        does the work: the new one and Ray's workers; and ``sum_mb``, the peak of the sum over all its processes,
        Ray's own among them, sampled every 50 ms (pages that they share count more than once).
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory() as out:
        process = context.Process(target=_child, args=(work, argument, out, theirs))
        process.start()
        theirs.close()
        peak = total = 0
        root = psutil.Process(process.pid)
        while not ours.poll(0.05):
            tree = [root, *root.children(recursive=True)]
            total = max(total, sum(_resident(p) for p in tree))
            peak = max(peak, *(_peak(p) for p in tree if p is root or _is_worker(p)))
        timings: Timings = ours.recv()
        peak = max(peak, _peak(root))
        process.join()
    return {**timings, "peak_mb": peak / MB, "sum_mb": total / MB}


def medians(ways: Mapping[str, Work], argument: Any, repeats: int) -> dict[str, Timings]:
    """Run every way several times, alternating between them, and take the median of each figure."""
    runs: dict[str, list[Timings]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, work in ways.items():
            runs[way].append(in_new_process(work, argument))
    return {
        way: {name: statistics.median(timings[name] for timings in results) for name in results[0]}
        for way, results in runs.items()
    }


def main(doc: str | None, run: Callable[[Path, int], list[dict[str, Any]]], columns: Columns) -> None:
    """The command line of a benchmark: ``run(coco, repeats)`` gives its rows, which are printed as a table."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coco", type=Path, required=True, help="folder that holds annotations/")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON as the last line")
    arguments = parser.parse_args()
    rows = run(arguments.coco, arguments.repeats)
    print(markdown(rows, columns))
    if arguments.json:
        print(json.dumps(rows))


def _child(work: Work, argument: Any, out: str, pipe: Connection) -> None:
    pipe.send(work(argument, out))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "".join(process.cmdline()[:1]).startswith("ray::")
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def _peak(process: psutil.Process) -> int:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def markdown(rows: Sequence[Mapping[str, Any]], columns: Columns) -> str:
    """Rows as a Markdown table.

    Args:
        rows: What was measured.
        columns: Title and number of decimals (None for text) by key; what a row lacks stays empty.
    """
    titles = [title for title, _ in columns.values()]
    lines = [titles, ["---"] * len(titles)]
    for row in rows:
        cells = [(row.get(key), decimals) for key, (_, decimals) in columns.items()]
        lines.append(["" if v is None else str(v) if d is None else f"{v:,.{d}f}" for v, d in cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
