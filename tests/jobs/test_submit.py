"""`ray job submit`, as on a cluster: a head with token authentication, a submitted job, its exit code."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pytest
from ray_head import Head

pytestmark = pytest.mark.ray

JOB = ("python", "jobs/generate.py", "--config", "jobs/configs/generate.yaml")


def test_a_submitted_job_makes_the_dataset_and_a_failed_one_fails(head: Head, tmp_path: Path) -> None:
    out = tmp_path / "run"
    small = ["--set", "synthetic.count=12", "--set", "synthetic.images=false", "--out", str(out)]
    done = head.submit(*JOB, *small, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"status"'))
    assert summary["status"] == "complete"
    assert len(json.loads((out / "llava.json").read_text())) == sum(summary["samples"].values())

    refused = head.submit(*JOB, *small, "--seed", "5")
    assert refused.returncode != 0
    assert "other settings (recipe.seed differ)" in refused.stdout + refused.stderr


def test_without_the_token_nothing_is_run(head: Head, tmp_path: Path) -> None:
    out = tmp_path / "run"
    stranger = {**head.environment, "RAY_AUTH_TOKEN_PATH": str(tmp_path / "other")}
    (tmp_path / "other").write_text(secrets.token_hex(32))
    assert head.submit(*JOB, "--out", str(out), environment=stranger).returncode != 0
    assert not out.exists()
