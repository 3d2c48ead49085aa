"""A judge that is killed in the middle asks for nothing again that was answered."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from judge_server import JudgeServer
from openai_server import KEY

from kpray.ledger.inspection import survey

SCRIPT = Path(__file__).parent / "judging_process.py"
QUESTIONS, IN_FLIGHT = 40, 8


def start(server: JudgeServer, ledger: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), server.base_url, str(ledger), str(QUESTIONS)]
    environment = {**os.environ, "OPENAI_API_KEY": KEY}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_kill_9_in_the_middle_then_again(tmp_path: Path) -> None:
    with JudgeServer(latency_s=0.2) as server:
        for answered in (12, 40):
            process = start(server, tmp_path)
            deadline = time.monotonic() + 60
            while server.counts()["distinct"] < answered:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.kill()
            process.communicate()
        told, _ = start(server, tmp_path).communicate(timeout=120)
        assert int(told) == 2 * QUESTIONS
        counts = server.counts()
        again, _ = start(server, tmp_path).communicate(timeout=120)
        assert int(again) == 2 * QUESTIONS
        assert server.counts() == counts  # nothing is left to ask
    assert counts["distinct"] == 2 * QUESTIONS
    assert counts["answered"] - counts["distinct"] <= 2 * IN_FLIGHT  # what was under way when it was killed
    found = survey(str(tmp_path))
    assert (found.answered, found.in_doubt, found.damage) == (2 * QUESTIONS, 0, [])
    assert KEY not in b"".join(path.read_bytes() for path in tmp_path.rglob("*.jsonl")).decode()
