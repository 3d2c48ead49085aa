"""Items for judges, and a judge that asks a local server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent / "scoring"))

from judge_cases import answer, question
from scenes import scene

from kpray.judges.asking import Calls
from kpray.judges.connect import Server, open_judge
from kpray.judges.model import ModelJudge
from kpray.schemas import Sampling
from kpray.scoring.items import judge_items
from kpray.scoring.types import JudgeItem, Mode

SAMPLING = Sampling(temperature=0.2, max_tokens=256)


def items(count: int = 1, *, scene_id: str = "7", mode: Mode = "pairwise", repeats: int = 1) -> list[JudgeItem]:
    """Both orders of questions ``q0``, ``q1`` and so on, about one scene."""
    made = []
    for i in range(count):
        asked = question(f"q{i}", scene_id)
        texts = {"tuned": f"He lets his arms hang down ({i}).", "base": f"He kicks ball {i}."}
        answers = tuple(answer(model, text, f"q{i}") for model, text in texts.items())
        shown = answers if mode == "pairwise" else answers[:1]
        made += judge_items(asked, scene(scene_id), shown, mode=mode, repeats=repeats)
    return made


def model_judge(base_url: str, ledger: Path, *, run: str = "judge-test", **options: Any) -> ModelJudge:
    """A judge at a local server; its key is that of `openai_server`, in OPENAI_API_KEY."""
    options = {"calls": Calls(in_flight=8, retry_for_s=2.0)} | options
    server = Server("gpt-4o", base_url, timeout_s=20.0)
    return open_judge(server, SAMPLING, ledger=str(ledger), run=run, **options)
