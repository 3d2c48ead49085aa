"""A head node with token authentication, to which jobs are submitted as on a cluster."""

from __future__ import annotations

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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Head:
    """In a process group of its own, so that stopping it stops nothing else."""

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

    def submit(self, *command: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """`ray job submit` until it ends; again while the agent that starts jobs is not there yet."""
        deadline = time.monotonic() + 90
        while True:
            done = subprocess.run(
                self.submission(*command),
                env=environment or self.environment,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=240,
            )
            if "No available agent to submit job" not in done.stderr or time.monotonic() > deadline:
                return done
            time.sleep(1)

    def submission(self, *command: str, name: str | None = None) -> Sequence[str]:
        """The command that submits one."""
        named = ["--submission-id", name] if name else []
        return [*RAY, "job", "submit", "--address", self.address, *named, "--working-dir", ".", "--", *command]

    def stop_job(self, name: str) -> None:
        command = [*RAY, "job", "stop", "--address", self.address, name]
        subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=120)

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


@contextmanager
def ray_head() -> Iterator[Head]:
    """A head for `with`."""
    # Ray's sockets need a short path.
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        running = Head(Path(folder))
        try:
            running.wait_until_ready()
            yield running
        finally:
            running.stop()
