"""The head of the page: what run it was, and how many came through each step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kpray.reports.run_report.figures import Figures
from kpray.reports.run_report.reading import Manifest

Fact = dict[str, str]
Step = dict[str, Any]


def describe(manifest: Manifest, figures: Figures) -> dict[str, Any]:
    """Title, facts and funnel of a run, ready to be shown."""
    config = manifest.get("config", {})
    return {
        "title": str(config.get("out", "")).rstrip("/").rpartition("/")[2] or "run",
        "status": _status(manifest),
        "subtitle": [text for text in (_teacher(manifest), _started(manifest)) if text],
        "facts": list(_facts(manifest, figures)),
        "details": list(_details(manifest)),
        "funnel": list(_funnel(manifest, figures)),
        "first_faults": _counted(manifest.get("totals", {}).get("faults", {})),
    }


def _facts(manifest: Manifest, figures: Figures) -> Iterator[Fact]:
    totals, outcomes = manifest.get("totals", {}), figures.outcomes
    kept = outcomes["kept"]
    yield _fact("samples kept", f"{kept:,}", f"from {totals['scenes']:,} scenes" if totals else "")
    yield _fact("rejected", f"{outcomes['rejected']:,}", "replies or scenes, with a reason each")
    if outcomes["duplicate"]:
        yield _fact("duplicates removed", f"{outcomes['duplicate']:,}", _share(outcomes["duplicate"], kept))
    contradicted, supported = (figures.samples_by_worst[name] for name in ("contradicted", "supported"))
    if totals.get("repairs"):
        yield _fact("asked again", f"{totals['repairs']:,}", f"{totals['repaired']:,} came back without a fault")
    if figures.claims:
        claims = sum(figures.claims.values())
        yield _fact("claims about people", f"{claims:,}", f"{claims / max(kept, 1):.2f} a sample")
        yield _fact("samples contradicted", f"{contradicted:,}", f"{supported:,} with all claims supported")
    if totals:
        prompt, completion = totals["prompt_tokens"], totals["completion_tokens"]
        yield _fact("tokens", f"{prompt + completion:,}", f"{prompt:,} prompt, {completion:,} completion")
        yield _fact("cost", _usd(totals.get("usd")), _spent(manifest))


def _fact(label: str, value: str, note: str = "") -> Fact:
    return {"label": label, "value": value, "note": note}


def _details(manifest: Manifest) -> Iterator[Fact]:
    identity, recipe = manifest.get("identity", {}), manifest.get("identity", {}).get("recipe", {})
    sampling = {name: value for name, value in recipe.get("sampling", {}).items() if value is not None}
    yield _fact("teacher", str(recipe.get("model", "unknown")))
    yield _fact("sampling", _pairs(sampling) or "the server's defaults")
    yield _fact("wording of the prompts", _pairs(recipe.get("prompt_versions", {})))
    yield _fact("seed", str(recipe.get("seed", "unknown")))
    yield _fact("inputs", _pairs(identity.get("inputs", {})))
    reading = manifest.get("reading", {})
    left_out = {name: count for name, count in reading.get("dropped", {}).items() if count}
    yield _fact("images left out", _pairs(left_out) or "none")
    sessions = manifest.get("sessions", [])
    yield _fact("time", f"{sum(session['elapsed_s'] for session in sessions):,.0f} s in {len(sessions)} start(s)")
    yield _fact("software", _pairs(manifest.get("software", {})))


def _funnel(manifest: Manifest, figures: Figures) -> Iterator[Step]:
    reading, totals = manifest.get("reading", {}), manifest.get("totals", {})
    if totals:
        yield _step("images read", reading["images"])
        yield _step("scenes used", totals["scenes"], reading["images"])
        requests = totals["requests"] + totals.get("repairs", 0)
        yield _step("requests", requests)
        yield _step("replies", requests - totals["unanswered"], requests)
    outcomes = figures.outcomes
    samples = outcomes["kept"] + outcomes["duplicate"]
    yield _step("samples that passed", samples)
    if outcomes["duplicate"]:
        yield _step("without duplicates", outcomes["kept"], samples)


def _counted(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Counts by reason, the most frequent first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"reason": reason, "count": count} for reason, count in ranked]


def _step(label: str, count: int, of: int | None = None) -> Step:
    """One bar; `of` is None where another thing begins to be counted."""
    return {"label": label, "count": count, "of": of}


def _status(manifest: Manifest) -> str:
    sessions = manifest.get("sessions", [])
    return str(sessions[-1]["status"]) if sessions else "unknown"


def _teacher(manifest: Manifest) -> str:
    model = manifest.get("identity", {}).get("recipe", {}).get("model")
    return f"written by {model}" if model else ""


def _started(manifest: Manifest) -> str:
    sessions = manifest.get("sessions", [])
    return f"started {sessions[0]['started_at'][:16].replace('T', ' ')} UTC" if sessions else ""


def _spent(manifest: Manifest) -> str:
    spending = manifest.get("spending", {})
    if "spent_usd" not in spending or not spending.get("replies"):
        return ""
    return f"{_usd(spending['spent_usd'])} spent by this run; {spending['replies']:,} replies bought"


def _usd(usd: float | None) -> str:
    if usd is None:
        return "price unknown"
    return f"${usd:,.4f}" if 0 < usd < 0.1 else f"${usd:,.2f}"


def _share(count: int, others: int) -> str:
    return f"{count / (count + others):.1%} of the samples that passed"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_plain(value)}" for name, value in values.items())


def _plain(value: Any) -> str:
    return f"({_pairs(value)})" if isinstance(value, Mapping) else str(value)
