"""`ray job submit`, as on a cluster: a head with token authentication, a submitted job, its exit code."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
RAY = [sys.executable, "-m", "ray.scripts.scripts"]

pytestmark = pytest.mark.ray


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Cluster:
    """A head node of its own, in a process group of its own, so that stopping it stops nothing else."""

    def __init__(self, folder: Path) -> None:
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        self.environment = {
            **os.environ,
            # The job's `python` is the one that the head finds on its path.
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
        }
        self.address = f"http://127.0.0.1:{free_port()}"
        ports = ["--port", str(free_port()), "--dashboard-port", self.address.rpartition(":")[2]]
        flags = ["--head", "--block", "--num-cpus", "2", "--temp-dir", str(folder), "--disable-usage-stats"]
        self._log = (folder / "head.log").open("w")
        self._head = subprocess.Popen(
            [*RAY, "start", *flags, *ports],
            env=self.environment,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{self.address}/api/version", timeout=2)
            except urllib.error.HTTPError:
                return  # it answers; without the token it refuses
            except OSError:
                assert time.monotonic() < deadline, "the head did not come up"
                time.sleep(0.2)
            else:
                return

    def submit(self, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [*RAY, "job", "submit", "--address", self.address, "--working-dir", ".", "--"]
        deadline = time.monotonic() + 90
        while True:
            done = subprocess.run(
                [*command, "python", "jobs/generate.py", "--config", "jobs/configs/generate.yaml", *arguments],
                env=environment or self.environment,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=240,
            )
            # The head answers before the agent that starts jobs is there.
            if "No available agent to submit job" not in done.stderr or time.monotonic() > deadline:
                return done
            time.sleep(1)

    def stop(self) -> None:
        for process_signal in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._head.pid, process_signal)
                self._head.wait(20)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self._log.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # Ray's sockets need a short path.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        running = Cluster(Path(folder))
        try:
            running.wait_until_ready()
            yield running
        finally:
            running.stop()


def test_a_submitted_job_makes_the_dataset_and_a_failed_one_fails(cluster: Cluster, tmp_path: Path) -> None:
    out = tmp_path / "run"
    small = ["--set", "synthetic.count=12", "--set", "synthetic.images=false", "--out", str(out)]
    done = cluster.submit(*small, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"status"'))
    assert summary["status"] == "complete"
    assert len(json.loads((out / "llava.json").read_text())) == sum(summary["samples"].values())

    refused = cluster.submit(*small, "--seed", "5")
    assert refused.returncode != 0
    assert "other settings (recipe.seed differ)" in refused.stdout + refused.stderr


def test_without_the_token_nothing_is_run(cluster: Cluster, tmp_path: Path) -> None:
    out = tmp_path / "run"
    stranger = {**cluster.environment, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "other")}
    (tmp_path / "other").write_text(secrets.token_hex(32))
    assert cluster.submit("--out", str(out), environment=stranger).returncode != 0
    assert not out.exists()
