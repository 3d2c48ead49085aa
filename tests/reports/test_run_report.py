from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from report_runs import ANSWER, claim, default_samples, reject, sample, two_claims, write_run
from scenes import scene

from kpray.cli import run
from kpray.errors import InputError
from kpray.reports.run_report import Report, make_report
from kpray.schemas import Sample, Turn


def report_of(folder: Path, **changes: Any) -> Report:
    return make_report(str(folder), str(folder / "report.html"), **{"images": None, "limit": 1000, "seed": 0} | changes)


def data_of(folder: Path, **changes: Any) -> dict[str, Any]:
    """What the page's script is given."""
    report_of(folder, **changes)
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', page_text(folder), re.DOTALL)
    assert block
    data: dict[str, Any] = json.loads(block[1])
    return data


def page_text(folder: Path) -> str:
    return (folder / "report.html").read_text()


def entry_named(data: dict[str, Any], entry_id: str) -> dict[str, Any]:
    (entry,) = [entry for entry in data["entries"] if entry["id"] == entry_id]
    return dict(entry)


def labelled(rows: list[dict[str, Any]], key: str = "label", value: str = "value") -> dict[str, Any]:
    return {row[key]: row[value] for row in rows}


def test_the_head_tells_how_many_came_through_each_step(tmp_path: Path) -> None:
    again = sample("7-conversation-1", "The man has his left arm raised and he stands.")
    folder = write_run(tmp_path / "run", rejected=[reject()], duplicates=[(again, "7-conversation-0")])
    data = data_of(folder)
    assert labelled(data["funnel"], value="count") == {
        "images read": 4,
        "scenes used": 2,
        "requests": 5,
        "replies": 4,
        "samples that passed": 4,
        "without duplicates": 3,
    }
    facts = labelled(data["facts"])
    assert (facts["samples kept"], facts["rejected"], facts["duplicates removed"]) == ("3", "1", "1")
    assert (facts["tokens"], facts["cost"]) == ("1,500", "$0.25")
    assert data["figures"]["rejected"] == [{"stage": "check", "reason": "mentions_keypoints", "count": 1}]
    assert data["title"] == "tiny"
    assert data["status"] == "complete"


def test_requests_that_were_made_again_for_a_fault_count_as_requests(tmp_path: Path) -> None:
    totals = {"requests": 5, "repairs": 3, "repaired": 2, "unanswered": 1, "faults": {"too_long": 1, "contradicted": 2}}
    tokens = {"scenes": 2, "prompt_tokens": 0, "completion_tokens": 0, "usd": None}
    data = data_of(write_run(tmp_path / "run", totals=totals | tokens))
    assert labelled(data["funnel"], value="count")["requests"] == 8
    assert labelled(data["funnel"], value="count")["replies"] == 7
    assert labelled(data["facts"])["asked again"] == "3"
    assert [row["reason"] for row in data["first_faults"]] == ["contradicted", "too_long"]


def test_a_price_that_is_not_known_stays_unknown(tmp_path: Path) -> None:
    totals = {"scenes": 2, "requests": 5, "unanswered": 0, "prompt_tokens": 1, "completion_tokens": 1, "usd": None}
    data = data_of(write_run(tmp_path / "run", totals=totals, spending={"replies": 4, "spent_usd": None}))
    assert labelled(data["facts"])["cost"] == "price unknown"


def test_claims_are_counted_by_kind_and_by_name(tmp_path: Path) -> None:
    figures = data_of(write_run(tmp_path / "run"))["figures"]
    counts = {"supported": 1, "contradicted": 1, "unverifiable": 0}
    assert figures["claims_by_kind"] == [{"name": "conversation", **counts}]
    assert {row["name"]: (row["supported"], row["contradicted"]) for row in figures["claims_by_name"]} == {
        "arm": (0, 1),
        "posture": (1, 0),
    }
    assert figures["faults"] == [{"reason": "too_short", "count": 1}]


def test_lengths_are_those_of_the_answers(tmp_path: Path) -> None:
    answers = [sample(f"7-conversation-{i}", " ".join(["word"] * length)) for i, length in enumerate((2, 2, 40))]
    (words,) = data_of(write_run(tmp_path / "run", samples=answers))["figures"]["words"]
    assert (words["answers"], words["median"], words["max"]) == (3, 2, 40)
    assert words["mean"] == pytest.approx(44 / 3)
    assert words["bins"][0] == 2
    assert words["bins"][-1] == 1
    assert words["first"] + words["width"] * len(words["bins"]) > 40


def test_runs_from_before_the_checks_have_a_page_too(tmp_path: Path) -> None:
    data = data_of(write_run(tmp_path / "run", columns_left_out=("claims", "faults")))
    assert len(data["entries"]) == 3
    assert data["figures"]["claims_by_name"] == []


def test_an_unfinished_run_shows_what_is_there(tmp_path: Path) -> None:
    sessions = [{"started_at": "2026-05-04T03:02:01+00:00", "elapsed_s": 0.0, "status": "running"}]
    data = data_of(write_run(tmp_path / "run", totals={}, sessions=sessions))
    assert data["status"] == "running"
    assert [step["label"] for step in data["funnel"]] == ["samples that passed"]


def test_a_claims_place_is_told_in_the_units_of_the_browser(tmp_path: Path) -> None:
    answer = "🏄🏄 He holds his left arm raised."
    question = Turn("human", "<image>\n🏄 Is an arm up?")
    asked = claim(question.value, "arm up", turn=0)
    found = sample(
        "7-conversation-0",
        conversations=(question, Turn("gpt", answer)),
        claims=(asked, claim(answer, "left arm raised")),
    )
    entry = data_of(write_run(tmp_path / "run", samples=[found]))["entries"][0]
    for placed, words in zip(entry["claims"], ("arm up", "left arm raised"), strict=True):
        units = entry["turns"][placed["turn"]]["text"].encode("utf-16-le")
        assert units[2 * placed["start"] : 2 * placed["end"]].decode("utf-16-le") == words


def test_rejects_and_duplicates_stand_in_the_gallery_with_their_reason(tmp_path: Path) -> None:
    nothing_asked = reject("no_people", stage="scene", kind="", request_id="", seen="", scene_id="8")
    again = sample("7-conversation-1", ANSWER)
    folder = write_run(tmp_path / "run", rejected=[reject(), nothing_asked], duplicates=[(again, "7-conversation-0")])
    data = data_of(folder)
    removed = entry_named(data, "7-conversation-1")
    assert (removed["outcome"], removed["duplicate_of"], removed["similarity"]) == (
        "duplicate",
        "7-conversation-0",
        0.93,
    )
    rejected = entry_named(data, "7-reasoning-mentions_keypoints-bbbbbbbb")
    assert rejected["seen"] == "Why?\nThe keypoints say so."
    assert rejected["detail"] == "it speaks of keypoints"
    assert entry_named(data, "8-no_people")["kind"] == ""


def test_a_reject_that_kept_its_conversation_shows_its_claims(tmp_path: Path) -> None:
    removed = sample("7-detailed-0", kind="detailed", claims=two_claims())
    data = data_of(write_run(tmp_path / "run", rejected_samples=[removed]))
    entry = entry_named(data, "7-detailed-contradicted-bbbbbbbb")
    assert [(c["name"], c["verdict"]) for c in entry["claims"]] == [("arm", "contradicted"), ("posture", "supported")]
    assert [turn["text"] for turn in entry["turns"]] == ["What is he doing?", ANSWER]
    assert entry["seen"] == ""
    assert data["figures"]["claims_by_kind"][0]["contradicted"] == 1, "figures of claims are of what was kept"


def many_samples(count: int) -> list[Sample]:
    """Samples alike, and one whose claim is contradicted."""
    plain = [sample(f"7-conversation-{i}", f"Answer {i}.") for i in range(count)]
    return [*plain, sample("7-detailed-0", claims=two_claims(), kind="detailed")]


def ids(data: dict[str, Any]) -> list[str]:
    return [entry["id"] for entry in data["entries"]]


def test_the_draw_from_a_large_run_does_not_depend_on_its_shards(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / str(shards), samples=many_samples(300), rejected=[reject()], shards=shards)
        for shards in (1, 7)
    ]
    drawn = [data_of(folder, limit=40) for folder in runs]
    assert ids(drawn[0]) == ids(drawn[1])
    assert len(ids(drawn[0])) == 40
    assert drawn[0]["gallery"] == {"shown": 40, "of": 302, "seed": 0, "kinds": []}
    assert ids(data_of(runs[0], limit=40, seed=1)) != ids(drawn[0])


def test_the_draw_has_the_rare_ones(tmp_path: Path) -> None:
    rejected = [reject(reason) for reason in ("mentions_keypoints", "contradicted")]
    again = sample("7-conversation-again", "Answer 1.")
    folder = write_run(
        tmp_path / "run",
        samples=many_samples(300),
        rejected=rejected,
        duplicates=[(again, "7-conversation-1")],
    )
    shown = data_of(folder, limit=20)["entries"]
    assert {entry.get("reason") for entry in shown} >= {"mentions_keypoints", "contradicted"}
    assert "7-detailed-0" in {entry["id"] for entry in shown}
    assert "duplicate" in {entry["outcome"] for entry in shown}


def test_equal_rejects_of_one_reply_are_all_there_in_an_order_of_their_own(tmp_path: Path) -> None:
    rejected = [reject(seen=f"text {i}") for i in range(6)]
    seen = [
        [entry.get("seen") for entry in data_of(write_run(tmp_path / str(n), rejected=some))["entries"]]
        for n, some in enumerate((rejected, rejected[::-1]))
    ]
    assert seen[0] == seen[1]
    assert {f"text {i}" for i in range(6)} <= set(seen[0])


def test_kinds_limit_the_gallery_and_not_the_figures(tmp_path: Path) -> None:
    data = data_of(write_run(tmp_path / "run"), kinds=("detailed",))
    assert ids(data) == ["7-detailed-0"]
    assert data["figures"]["kept"] == {"conversation": 1, "detailed": 1, "reasoning": 1}


def test_pictures_are_in_the_page_once_and_small(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", images=True, samples=[*default_samples(), sample("7-conversation-5")])
    made = report_of(folder)
    assert (made.scenes, made.without_image) == (2, 0)
    pictures = re.findall(r'data-picture="(\d+)">([^<]+)<', page_text(folder))
    assert [scene_id for scene_id, _ in pictures] == ["7", "8"]
    assert len(base64.b64decode(pictures[0][1])) < 10_000
    assert made.size_bytes == (folder / "report.html").stat().st_size


def test_images_that_are_not_at_hand_or_broken_are_counted(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", images=True)
    (folder / "images" / "000000000007.jpg").write_bytes(b"no picture")
    (folder / "images" / "000000000008.jpg").unlink()
    assert report_of(folder).without_image == 2


def test_text_from_a_run_cannot_leave_its_script_block(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!-- <script>"
    shown = scene("7", captions=(evil,))
    folder = write_run(
        tmp_path / "run",
        scenes=[shown],
        samples=[sample(f"7-{evil}", evil)],
        rejected=[reject(evil, seen=evil)],
        config={"out": evil},
    )
    data = data_of(folder)
    assert entry_named(data, f"7-{evil}")["turns"][1]["text"] == evil
    assert "alert(1)</script" not in page_text(folder)
    assert "<!-- <script" not in page_text(folder)


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    report_of(folder)
    page = page_text(folder)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    for block in (r"<style>(.*?)</style>", r"<script>(.*?)</script>"):
        inline = re.search(block, page, re.DOTALL)
        assert inline
        assert base64.b64encode(hashlib.sha256(inline[1].encode()).digest()).decode() in policy[1]
    assert policy[1].startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy[1]


def test_a_page_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", images=True, rejected=[reject()])
    report_of(folder)
    first = page_text(folder)
    report_of(folder)
    assert page_text(folder) == first


def test_the_command_writes_into_the_run_or_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run")
    assert run(["report", str(folder), "--json"]) == 0
    out = capsys.readouterr().out
    assert "2 of 2 scenes are without their image; name the folder of the images with --images DIR" in out
    summary = json.loads(out.splitlines()[-1])
    assert (summary["shown"], summary["out"]) == (3, f"{folder}/report.html")
    assert run(["report", str(folder), "--out", str(tmp_path / "page.html"), "--limit", "1"]) == 0
    assert (tmp_path / "page.html").stat().st_size < (folder / "report.html").stat().st_size


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no run\.json\. Make one with"):
        report_of(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="is not a run's manifest"):
        report_of(tmp_path)
    folder = write_run(tmp_path / "run")
    (folder / "rejected" / "shard-00000.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        report_of(folder)
