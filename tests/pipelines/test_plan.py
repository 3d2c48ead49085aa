from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai_server import KEY, OpenAIServer

from kpray.cli.plan import plan as plan_command
from kpray.config import GenerateConfig, load_config
from kpray.errors import ConfigError, TeacherError
from kpray.ledger.journal import spent
from kpray.pipelines.pilot import draw
from kpray.pipelines.plan import make_plan
from kpray.pipelines.plan_text import plan_text
from kpray.pipelines.spending import pilot_run

PRICES = {"teacher.price.prompt": 2.5, "teacher.price.completion": 10.0, "teacher.price.cached_prompt": 1.25}


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(varied=True) as running:
        yield running


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def config(out: Path, server: OpenAIServer | None = None, **changes: Any) -> GenerateConfig:
    flags: dict[str, Any] = {"out": str(out), "synthetic.count": 20, "synthetic.images": False}
    flags["check.mode"] = "report"
    if server:
        flags |= {"teacher.name": "openai", "teacher.base_url": server.base_url, **PRICES}
    return load_config(GenerateConfig, file=None, flags=flags | changes, overrides=())


def answered(server: OpenAIServer) -> int:
    return int(server.stats().get("answered", 0))


def test_the_embedded_teacher_costs_nothing_and_nothing_is_written(tmp_path: Path) -> None:
    plan = make_plan(config(tmp_path / "run"))
    assert (plan.scenes, plan.scenes_looked_at, plan.total.requests, plan.total.answered) == (20, 20, 60, 0)
    assert [kind.kind for kind in plan.kinds] == ["conversation", "detailed", "reasoning"]
    assert plan.total.rest.usd is not None
    assert plan.total.rest.usd.high == 0.0
    assert plan.unknown == ()
    assert not (tmp_path / "run").exists()


def test_before_any_reply_the_cost_is_unknown_and_the_plan_says_what_helps(tmp_path: Path) -> None:
    plan = make_plan(config(tmp_path / "run", **{"teacher.name": "openai"}))
    assert plan.price is not None
    assert plan.total.rest.usd is None
    assert plan.total.rest.prompt_tokens is not None
    assert any("--pilot 50" in line for line in plan.unknown)
    text = plan_text(plan)
    assert "since 2024-10-02" in text
    assert "unknown" in text


def test_a_model_at_another_server_has_no_price_until_it_is_given_one(tmp_path: Path, server: OpenAIServer) -> None:
    own = {"teacher.name": "openai", "teacher.base_url": server.base_url}
    plan = make_plan(config(tmp_path / "run", **own))
    assert plan.price is None
    assert any("teacher.price.prompt" in line for line in plan.unknown)


def test_a_pilot_is_asked_once_evenly_over_the_kinds(tmp_path: Path, server: OpenAIServer) -> None:
    before = answered(server)
    first = make_plan(config(tmp_path / "run", server), pilot=12)
    assert answered(server) - before == 12
    assert [kind.answered for kind in first.kinds] == [4, 4, 4]
    assert first.pilot is not None
    assert (first.pilot.wanted, first.pilot.asked, first.pilot.failed) == (12, 12, 0)

    again = make_plan(config(tmp_path / "run", server), pilot=12)
    assert answered(server) - before == 12
    assert again.pilot is not None
    assert again.pilot.asked == 0
    assert again.total == first.total
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["ledger"]


def test_a_pilot_gives_tokens_money_and_time(tmp_path: Path, server: OpenAIServer) -> None:
    plan = make_plan(config(tmp_path / "run", server, **{"teacher.limits.requests_per_minute": 6_000}), pilot=24)
    rest = plan.total.rest
    assert plan.unknown == ()
    assert rest.sample == 24
    for estimate in (rest.prompt_tokens, rest.completion_tokens, rest.usd):
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert 0 < estimate.low <= estimate.mean <= estimate.high
    assert rest.live_usd is not None
    assert rest.batch_usd is not None
    assert rest.batch_usd.mean < rest.live_usd.mean
    assert plan.duration is not None


def test_batch_mode_is_planned_at_its_own_price_and_the_pilot_goes_live(tmp_path: Path, server: OpenAIServer) -> None:
    plan = make_plan(config(tmp_path / "run", server, **{"teacher.mode": "batch"}), pilot=9)
    assert plan.total.rest.usd == plan.total.rest.batch_usd
    assert plan.duration is None
    assert any("batch may take" in line for line in plan.unknown)


def test_a_pilot_keeps_to_the_budget(tmp_path: Path, server: OpenAIServer) -> None:
    run = config(tmp_path / "run", server, max_usd=0.05)
    plan = make_plan(run, pilot=60)
    paid = spent(str(tmp_path / "run" / "ledger"), None, pilot_run(run.out))
    assert plan.pilot is not None
    assert 0 < plan.pilot.asked < 60
    assert plan.pilot.usd == pytest.approx(paid.known_usd)
    assert 0 < paid.known_usd <= 0.05
    assert "is used up" in plan.pilot.stopped
    with pytest.raises(TeacherError, match="is used up"):
        make_plan(run, pilot=60)  # the first pilot's money is counted


def test_a_budget_without_a_price_is_refused_before_anything_is_asked(tmp_path: Path, server: OpenAIServer) -> None:
    own = {"teacher.name": "openai", "teacher.base_url": server.base_url, "max_usd": 1.0}
    before = answered(server)
    with pytest.raises(ConfigError, match="needs the price of gpt-4o"):
        make_plan(config(tmp_path / "run", **own), pilot=5)
    assert answered(server) == before


def test_of_many_scenes_a_sample_stands_for_all(tmp_path: Path, server: OpenAIServer) -> None:
    run = config(tmp_path / "run", server, **{"synthetic.count": 60})
    whole, part = make_plan(run), make_plan(run, most_scenes=30)
    assert (part.scenes, part.scenes_looked_at) == (60, 30)
    assert part.total.requests == whole.total.requests
    assert whole.total.rest.prompt_tokens is not None
    assert part.total.rest.prompt_tokens is not None
    assert part.total.rest.prompt_tokens.mean == pytest.approx(whole.total.rest.prompt_tokens.mean, rel=0.15)
    piloted = make_plan(run, pilot=30, most_scenes=30)
    assert piloted.total.answered == 30
    assert "A random 30 of the scenes" in plan_text(piloted)


def test_the_same_requests_are_drawn_whenever_it_is_asked() -> None:
    rows: Any = {"conversation": list(range(50)), "detailed": list(range(100, 150))}
    drawn = draw(rows, 7, seed=3)
    assert drawn == draw(rows, 7, seed=3)
    assert drawn != draw(rows, 7, seed=4)
    assert (sum(row < 50 for row in drawn), sum(row >= 100 for row in drawn)) == (4, 3)
    assert len(draw(rows, 1_000, seed=3)) == 100


def test_the_command_prints_a_table_and_returns_plain_values(
    tmp_path: Path, server: OpenAIServer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--out", str(tmp_path / "run"), "--teacher", "openai", "--base-url", server.base_url, "--pilot", "6"]
    for name, value in (PRICES | {"synthetic.count": 10, "synthetic.images": False, "check.mode": "report"}).items():
        arguments += ["--set", f"{name}={value}"]
    result = plan_command.main(arguments, standalone_mode=False)
    assert "conversation" in capsys.readouterr().out
    assert result["status"] == "planned"
    assert result["total"]["requests"] == 30
    assert result["total"]["answered"] == 6
    assert json.loads(json.dumps(result)) == result


@pytest.mark.ray
def test_a_run_never_pays_for_the_pilot_again(ray_local: None, tmp_path: Path, server: OpenAIServer) -> None:
    from kpray.pipelines.generate import generate

    run = config(tmp_path / "run", server, **{"synthetic.images": True})
    before = answered(server)
    make_plan(run, pilot=15)
    manifest = generate(run)
    assert manifest.status == "complete"
    assert answered(server) - before == 60
    after = make_plan(run)
    assert (after.total.requests, after.total.answered) == (60, 60)
    assert after.total.rest.usd is not None
    assert after.total.rest.usd.mean == 0.0


@pytest.mark.ray
def test_a_run_keeps_its_budget_over_all_its_sessions(ray_local: None, tmp_path: Path, server: OpenAIServer) -> None:
    from kpray.pipelines.generate import generate

    for limit, status in ((0.1, "incomplete"), (0.2, "incomplete"), (5.0, "complete")):
        manifest = generate(config(tmp_path / "run", server, max_usd=limit))
        paid = spent(str(tmp_path / "run" / "ledger"), None, manifest.run_id)
        assert manifest.status == status
        assert paid.unknown == 0
        assert limit == 5.0 or limit - 0.02 <= paid.known_usd <= limit  # a request sets less than 2 cents aside


def test_a_pilot_asks_again_for_faults_as_the_run_will_and_the_forecast_counts_that_in(
    tmp_path: Path, server: OpenAIServer
) -> None:
    leaky = "The keypoints show a person who waits in the open, with the weight on both feet and nothing close by."
    server.set_faults({"text": json.dumps({"description": leaky}), "times": 10_000})
    own = {"kinds": ["detailed"], "check.near_duplicates": 1.0}
    try:
        plain = make_plan(config(tmp_path / "plain", server, **own), pilot=6)
        before = answered(server)
        twice = make_plan(config(tmp_path / "twice", server, **own, **{"check.mode": "repair"}), pilot=6)
    finally:
        server.set_faults()
    assert plain.pilot is not None
    assert twice.pilot is not None
    assert (plain.pilot.faulty, twice.pilot.faulty) == (0, 6)
    assert answered(server) - before == 12
    assert plain.total.rest.completion_tokens is not None
    assert twice.total.rest.completion_tokens is not None
    assert twice.total.rest.completion_tokens.mean == pytest.approx(2 * plain.total.rest.completion_tokens.mean)
    assert twice.total.rest.prompt_tokens is not None
    assert plain.total.rest.prompt_tokens is not None
    assert twice.total.rest.prompt_tokens.mean > 1.9 * plain.total.rest.prompt_tokens.mean
    assert "had a fault" in plan_text(twice)
