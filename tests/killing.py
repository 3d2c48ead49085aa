"""Kills everything that a run is made of, over and over, and looks at what that cost.

One run of `kpray generate` against a local API server, on a Ray cluster of simulated nodes. At seeded random moments
something is killed with SIGKILL: an actor (one that asks, the scoreboard or the limiter), a node, the driver, or the
whole cluster with the driver; then the same command is given again where it must be. The server says the same of every
picture, so many replies are contradicted and asked for again: that goes on too while things are killed. At the end the
dataset is compared, byte for byte, with one that was made undisturbed, and the server's count with what was needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from nodes import Nodes
from openai_server import KEY, OpenAIServer

KPRAY = [sys.executable, "-c", "from kpray.cli import main; main()"]
WEIGHTS = {"actor": 0.72, "node": 0.08, "driver": 0.13, "cluster": 0.07}
IN_FLIGHT, WORKERS = 16, 2


class Killer:
    """A run under attack."""

    def __init__(self, folder: Path, *, requests: int, seed: int, latency_s: float = 0.2) -> None:
        self.folder = folder
        self.requests = requests
        self._random = random.Random(seed)
        self._latency_s = latency_s
        self.kills: Counter[str] = Counter()
        self.recoveries_s: list[float] = []

    def run(self, kills: int) -> dict[str, Any]:
        """Make the dataset twice, undisturbed and under `kills` kills, and say what differs."""
        with OpenAIServer() as server:
            subprocess.run(self._command(server, "calm"), env=_environment(), check=True, stdout=subprocess.DEVNULL)
        with OpenAIServer(latency_s=self._latency_s) as server:
            started = time.monotonic()
            self._attack(server, kills)
            elapsed_s = time.monotonic() - started
            counts = server.counts()
        manifest = json.loads((self.folder / "killed" / "run.json").read_text())
        return {
            "kills": dict(self.kills),
            "requests": manifest["totals"]["requests"],
            "repairs": manifest["totals"]["repairs"],
            "distinct": counts["distinct"],
            "answered_twice": counts["answered"] - counts["distinct"],
            "asked_again": manifest["spending"]["asked_again"],
            "bound": self.bound,
            "unanswered": manifest["totals"]["unanswered"],
            "same_dataset": contents(self.folder / "calm") == contents(self.folder / "killed"),
            "elapsed_s": round(elapsed_s, 1),
            "median_recovery_s": round(sorted(self.recoveries_s)[len(self.recoveries_s) // 2], 1),
        }

    @property
    def bound(self) -> int:
        """So many requests were in flight at most in what was killed."""
        per_worker = IN_FLIGHT // WORKERS
        actors = self.kills["actor"] * per_worker
        return (
            actors
            + (self.kills["node"] * WORKERS * per_worker)
            + self.kills["driver"] * IN_FLIGHT
            + (self.kills["cluster"] * IN_FLIGHT)
        )

    def _attack(self, server: OpenAIServer, kills: int) -> None:
        cluster, driver = self._start(server)
        step = self.requests / (kills + 1)
        for number in range(kills):
            if not self._wait_until(server, driver, round((number + 1) * step)):
                driver = self._drive(server, cluster)  # it ended by itself, having lost too much: the user's next try
            kind = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            before = server.stats().get("answered", 0)
            struck_at = time.monotonic()
            cluster, driver = self._strike(kind, server, cluster, driver)
            self.kills[kind] += 1
            self._wait_until(server, driver, before + IN_FLIGHT + 1)
            self.recoveries_s.append(time.monotonic() - struck_at)
        for _ in range(20):
            if driver.wait(600) == 0:
                break
            driver = self._drive(server, cluster)
        cluster.process.communicate(timeout=60)

    def _strike(
        self, kind: str, server: OpenAIServer, cluster: Nodes, driver: subprocess.Popen[bytes]
    ) -> tuple[Nodes, subprocess.Popen[bytes]]:
        if kind == "actor":
            victims = [p for p in _tree(cluster.process.pid) if _is_ours(p)]
            if victims:
                self._random.choice(victims).kill()
        elif kind == "node":
            cluster.replace_one()
        elif kind == "driver":
            driver.kill()
            driver.wait()
            driver = self._drive(server, cluster)
        else:
            for process in (*_tree(cluster.process.pid), psutil.Process(cluster.process.pid)):
                _kill(process)
            driver.kill()
            driver.wait()
            cluster.process.communicate()
            cluster, driver = self._start(server)
        return cluster, driver

    def _start(self, server: OpenAIServer) -> tuple[Nodes, subprocess.Popen[bytes]]:
        cluster = Nodes(nodes=2)
        return cluster, self._drive(server, cluster)

    def _drive(self, server: OpenAIServer, cluster: Nodes) -> subprocess.Popen[bytes]:
        environment = _environment(RAY_ADDRESS=cluster.address)
        with (self.folder / "driver.log").open("ab") as log:
            return subprocess.Popen(self._command(server, "killed"), env=environment, stdout=log, stderr=log)

    def _wait_until(self, server: OpenAIServer, driver: subprocess.Popen[bytes], answered: int) -> bool:
        """Wait until the server has answered so many requests; False if the driver ended before that."""
        deadline = time.monotonic() + 180
        while server.stats().get("answered", 0) < answered:
            if driver.poll() is not None:
                return False
            assert time.monotonic() < deadline, "the run stands still"
            time.sleep(0.05)
        time.sleep(self._random.uniform(0, self._latency_s))
        return True

    def _command(self, server: OpenAIServer, name: str) -> list[str]:
        settings = {
            "synthetic.count": -(-self.requests // 3),
            "synthetic.images": "false",
            "shard_size": 32,
            "teacher.in_flight": IN_FLIGHT,
            "teacher.workers": WORKERS,
            "check.near_duplicates": "null",  # the server says the same of every picture
        }
        flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        out = str(self.folder / name)
        return [*KPRAY, "generate", "--out", out, "--teacher", "openai", "--base-url", server.base_url, *flags]


def contents(run: Path) -> dict[str, str]:
    """Hashes of everything that training could read, and of the rejects."""
    paths = [p for part in ("samples", "rejected") for p in sorted((run / part).rglob("*.parquet"))]
    return {str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest() for p in [*paths, run / "llava.json"]}


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OPENAI_API_KEY": KEY, **more}


def _tree(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _is_ours(process: psutil.Process) -> bool:
    try:
        title = " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
    return title.startswith("ray::") and any(name in title for name in ("AskShard", "Scoreboard", "Limiter"))


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
