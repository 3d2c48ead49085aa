"""How fast a teacher behind an API is asked, against other ways of asking.

Run from the repository's root::

    python benchmarks/teacher_throughput.py --grid quick
    python benchmarks/teacher_throughput.py --make-peers PEERS_FOLDER
    python benchmarks/teacher_throughput.py --grid paper --peers PEERS_FOLDER --json
    python benchmarks/teacher_throughput.py --memory
    python benchmarks/teacher_throughput.py --ceiling

A local server (`throughput_server`) answers every request after the same latency. Each way (`throughput_ways`) sends
the same requests with at most so many in flight, in a process of its own and to a server of its own; the repeats
alternate between the ways, and every figure is the median of its repeats.

- ``requests/s`` and ``of ideal`` are the server's own: from the first request that reached it to the last reply that
  it sent. The ideal is in flight / latency.
- ``job of ideal``: the ideal time over the wall time of the whole job, Ray's start included, imports not.
- ``of aiohttp``: requests/s as a share of the bare raw client's in the same run.
- ``CPU ms`` per request, of all processes but the server's: while requests were under way, and for the whole job with
  imports. Sampled every 0.25 s; what a process uses after its last sample is not counted.
- Memory: see `measuring`.
- ``server``: its CPU share of one core while requests were under way, and by how much its replies were late: near 1,
  or late by more than a few ms, it is the server that is measured.

``ray.data.llm`` and the peers send the messages without the JSON schema: the columns that Ray Data makes of different
schemas cannot be joined, and the peers take one schema for all rows.

The ways that are known to be slow send fewer requests (``--slow-requests``), and no way sends more than the ideal
would answer in ``--at-most-s``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from measuring import in_new_process, markdown
from throughput_server import Server, allow_many_connections, ceiling
from throughput_ways import PEERS, SLOW, WAYS, Inputs, Job, prepare, run_way

MOST_REQUESTS_PER_S = 6000
MEMORY_SIZES = (5_000, 50_000)
GRIDS = {
    "quick": {"latency": [0.2], "in_flight": [64, 256], "requests": 1998, "slow_requests": 600, "repeats": 1},
    "paper": {"latency": [0.2, 1.0], "in_flight": [64, 128, 256, 512, 1024]},
}
_HERE = Path(__file__).parent


class CpuWatch:
    """CPU seconds of all descendants of this process but one, over time; what a dead process had used stays counted."""

    def __init__(self, *, but: int, every_s: float = 0.25) -> None:
        self._but = but
        self._every_s = every_s
        self._used: dict[tuple[int, float], float] = {}
        self._samples: list[tuple[float, float]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> CpuWatch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def total_s(self) -> float:
        """Everything that was seen."""
        return sum(self._used.values())

    def between_s(self, first_at: float, last_at: float) -> float:
        """CPU seconds between two times of ``time.monotonic``, by linear interpolation."""
        return self._at(last_at) - self._at(first_at)

    def _at(self, moment: float) -> float:
        before = [sample for sample in self._samples if sample[0] <= moment] or self._samples[:1]
        after = [sample for sample in self._samples if sample[0] > moment] or self._samples[-1:]
        (t0, used0), (t1, used1) = before[-1], after[0]
        return used0 if t1 <= t0 else used0 + (used1 - used0) * (moment - t0) / (t1 - t0)

    def _run(self) -> None:
        this = psutil.Process()
        while not self._done.wait(self._every_s):
            for process in this.children(recursive=True):
                if process.pid != self._but:
                    self._sample(process)
            self._samples.append((time.monotonic(), self.total_s()))

    def _sample(self, process: psutil.Process) -> None:
        try:
            times = process.cpu_times()
            key = (process.pid, process.create_time())
        except psutil.Error:
            return
        self._used[key] = max(self._used.get(key, 0.0), times.user + times.system)


def measure(way: str, latency_s: float, job_of: Any) -> dict[str, Any]:
    """Run one way once, against a server of its own."""
    with Server(latency_s) as server, CpuWatch(but=server.pid) as watch:
        job: Job = job_of(server.base_url)
        timings: dict[str, Any] = in_new_process(run_way, (way, job))
        stats = server.stats()
    if "failed" in timings:
        return timings
    span_s = stats["last_at"] - stats["first_at"]
    per_request = 1000 / stats["replies"]
    largest_mb = max(timings["peak_mb"], timings.pop("largest_mb", 0.0))  # a peer's driver says how large it was
    return {
        **timings,
        "peak_mb": largest_mb,
        "requests": stats["replies"],
        "rate": stats["replies"] / span_s,
        "of_ideal": stats["replies"] * latency_s / job.in_flight / span_s,
        "job_of_ideal": stats["replies"] * latency_s / job.in_flight / timings["job_s"],
        "cpu_ms": watch.between_s(stats["first_at"], stats["last_at"]) * per_request,
        "job_cpu_ms": watch.total_s() * per_request,
        "peak_in_flight": stats["peak_in_flight"],
        "server_cpu": stats["cpu_s"] / span_s,
        "late_ms": stats["late_ms"],
    }


def measure_point(
    latency_s: float, in_flight: int, inputs: Inputs, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """All ways at one latency and window: a row of medians for each."""
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in options.ways}
    for repeat in range(options.repeats):
        for way in options.ways:
            requests = _how_many(way, latency_s, in_flight, inputs, options)

            def job_of(base_url: str, requests: int = requests) -> Job:
                return Job(base_url, in_flight, requests, inputs, options.peers)

            figures = measure(way, latency_s, job_of)
            runs[way].append(figures)
            _tell(f"{way}, {latency_s} s, {in_flight} in flight, {repeat + 1} of {options.repeats}: {_brief(figures)}")
    point = {"latency": latency_s, "in_flight": in_flight, "ideal": in_flight / latency_s}
    rows = [{"way": way, **point, **_medians(results)} for way, results in runs.items()]
    raw = next((row.get("rate") for row in rows if row["way"] == "aiohttp"), None)
    return [{**row, "of_aiohttp": row["rate"] / raw} if raw and "rate" in row else row for row in rows]


def _how_many(way: str, latency_s: float, in_flight: int, inputs: Inputs, options: argparse.Namespace) -> int:
    wanted = options.slow_requests if way in SLOW else options.requests
    most = min(wanted, inputs.count, int(options.at_most_s * in_flight / latency_s))
    return max(inputs.kinds, most - most % inputs.kinds)


def _medians(results: list[dict[str, Any]]) -> dict[str, Any]:
    failures = [figures["failed"] for figures in results if "failed" in figures]
    if failures:
        return {"note": failures[0].splitlines()[0]}
    return {name: statistics.median(figures[name] for figures in results) for name in results[0]}


def _brief(figures: dict[str, Any]) -> str:
    if "failed" in figures:
        return str(figures["failed"])
    return f"{figures['rate']:.0f}/s, {figures['of_ideal']:.0%} of ideal, job {figures['job_s']:.1f} s"


def measure_memory(folder: Path, sizes: tuple[int, ...] = MEMORY_SIZES) -> list[dict[str, Any]]:
    """The memory of kpray for few and for many requests on drawn scenes, 256 in flight at 0.05 s."""
    inputs = prepare(folder, None, max(sizes))
    rows: list[dict[str, Any]] = []
    for wanted in sizes:
        requests = min(wanted, inputs.count) // inputs.kinds * inputs.kinds
        figures = measure("kpray", 0.05, lambda base_url, requests=requests: Job(base_url, 256, requests, inputs))
        _tell(f"{requests:,} requests: {_brief(figures)}")
        rows.append({"way": "kpray", "latency": 0.05, "in_flight": 256, **_medians([figures])})
    if all("peak_mb" in row for row in rows):
        rows[-1]["note"] = f"{rows[-1]['peak_mb'] / rows[0]['peak_mb']:.2f} times the memory of the row above"
    return rows


def make_peers(folder: Path) -> None:
    """Give each peer an environment of its own, with the versions in ``benchmarks/peers``."""
    for peer in PEERS:
        venv.create(folder / peer, with_pip=True)
        pip = [str(folder / peer / "bin" / "python"), "-m", "pip", "install"]
        subprocess.run([*pip, "-r", str(_HERE / "peers" / f"{peer}.txt")], check=True)


def _points(options: argparse.Namespace) -> Iterator[tuple[float, int]]:
    for latency_s in options.latency:
        for in_flight in options.in_flight:
            if in_flight / latency_s <= MOST_REQUESTS_PER_S:
                yield latency_s, in_flight
            else:
                _tell(f"left out: {in_flight} in flight at {latency_s} s (above {MOST_REQUESTS_PER_S} requests/s)")


def run(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Measure every point that the options ask for."""
    if options.memory:
        return measure_memory(folder)
    inputs = prepare(folder, options.coco, options.requests)
    _tell(f"{inputs.count:,} requests are ready")
    rows = [row for point in _points(options) for row in measure_point(*point, inputs, options)]
    return rows + [{"way": peer, "note": _HOW_TO_PEER} for peer in options.left_out]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


_HOW_TO_PEER = "not measured: --make-peers FOLDER, then --peers FOLDER"

COLUMNS = {
    "way": ("way", None),
    "latency": ("latency, s", 2),
    "in_flight": ("in flight", 0),
    "requests": ("requests", 0),
    "rate": ("requests/s", 0),
    "of_ideal": ("of ideal", 2),
    "of_aiohttp": ("of aiohttp", 2),
    "job_of_ideal": ("job of ideal", 2),
    "job_s": ("job, s", 1),
    "start_s": ("Ray's start, s", 1),
    "import_s": ("imports, s", 1),
    "cpu_ms": ("CPU, ms", 2),
    "job_cpu_ms": ("CPU of job, ms", 2),
    "peak_mb": ("largest process, MB", 0),
    "sum_mb": ("all processes, MB", 0),
    "peak_in_flight": ("peak in flight", 0),
    "server_cpu": ("server CPU", 2),
    "late_ms": ("server late, ms", 1),
    "note": ("", None),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", choices=GRIDS, default="quick", help="defaults for the options below")
    parser.add_argument("--latency", type=float, nargs="+", help="seconds")
    parser.add_argument("--in-flight", type=int, nargs="+")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--slow-requests", type=int, default=2_000, help=f"for {', '.join(SLOW)}")
    parser.add_argument("--at-most-s", type=float, default=60, help="seconds that the ideal needs at most")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS)
    parser.add_argument("--coco", type=Path, help="folder that holds annotations/; without it, scenes are drawn")
    parser.add_argument("--peers", help="folder with the peers' environments")
    parser.add_argument("--make-peers", type=Path, metavar="FOLDER", help="make these environments, and nothing else")
    parser.add_argument(
        "--memory", action="store_true", help="kpray's memory at 5,000 and 50,000 requests instead (draws for minutes)"
    )
    parser.add_argument("--ceiling", action="store_true", help="only the server's own limit")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON as the last line")
    known, _ = parser.parse_known_args()
    parser.set_defaults(**GRIDS[known.grid])
    options = parser.parse_args()
    wanted = options.ways or list(WAYS)
    options.left_out = [way for way in wanted if way in PEERS and not options.peers]
    options.ways = [way for way in wanted if way not in options.left_out]
    return options


def main() -> None:
    """The command line."""
    options = _options()
    allow_many_connections()
    if options.make_peers:
        make_peers(options.make_peers)
        return
    limit = ceiling()
    print(
        f"The server's ceiling: {limit['measured']:,.0f} requests/s with {limit['clients']:.0f} client process(es), "
        f"{limit['own_core']:,.0f} per second of its CPU.\n"
    )
    if options.ceiling:
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = run(options, Path(folder))
    print(markdown(rows, COLUMNS))
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
