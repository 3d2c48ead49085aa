"""What fine-tuning gives the tiny model: right answers about arms, legs and posture in scenes that it has never seen.

Run from the repository's root, with the folder that `kpray export` wrote::

    python benchmarks/tiny_gain.py --tuned runs/tiny/model

Scenes with one person are drawn from a series of their own (another seed: other people, places and joint angles; the
kinds of pose are those of all synthetic scenes). The questions are in the teacher's words, and so are the answers
between which a model decides (`kpray.training.tiny.questions`, `kpray.training.tiny.exam`). In each form of question
every answer is right equally often.

- ``constant``: the best answer that does not look, form by form.
- ``base``: `tiny-base`, which has never been asked.
- ``tuned``: the model after fine-tuning.
- ``shuffled``: the same, each question put to another scene's picture. What is left above ``constant`` is language.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from transformers import AutoModelForImageTextToText, AutoProcessor

from kpray.models import TINY_BASE, model_path
from kpray.schemas import Scene
from kpray.training.tiny.exam import Score, answers, say, score
from kpray.training.tiny.questions import Question, balanced_questions
from kpray.training.tiny.scenes import draw_scenes

TOPICS = ("arms", "legs", "posture", "yes or no", "all")
TILE_PX = 180
NOUNS = ("man", "woman", "boy", "girl")
OPEN = (
    "How are the arms of {who} positioned?",
    "How are the legs of {who} positioned?",
    "What position is {who} in?",
    "Is either hand of {who} raised above the head?",
    "How is {who} turned, as seen from the camera?",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tuned", required=True, metavar="DIR", help="the fine-tuned model")
    parser.add_argument("--base", default=TINY_BASE, metavar="DIR", help="the model before")
    parser.add_argument("--scenes", type=int, default=1000, metavar="N", help="scenes to ask about")
    parser.add_argument("--seed", type=int, default=7, metavar="N", help="of the series of scenes")
    parser.add_argument("--forms", action="store_true", help="list every form of question too")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="write some pictures there and print the answers")
    parser.add_argument("--pick", type=_numbers, default=range(10), metavar="N,N", help="numbers of its scenes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    images, scenes = draw_scenes(count=args.scenes, seed=args.seed)
    questions = balanced_questions(scenes, seed=args.seed)
    print(f"{len(questions)} questions about {args.scenes} scenes, drawn in {time.perf_counter() - started:.0f} s")
    others = images[np.random.default_rng(args.seed).permutation(len(images))]
    scores = {
        "base": examine(args.base, questions, images),
        "tuned": examine(args.tuned, questions, images),
        "shuffled": examine(args.tuned, questions, others),
    }
    print(table(scores, [key for key in scores["tuned"] if args.forms or key in TOPICS]))
    if args.sheet:
        show(args, images, scenes)
    if args.json:
        args.json.write_text(json.dumps({name: figures(by_key) for name, by_key in scores.items()}, indent=1) + "\n")


def examine(name: str, questions: list[Question], images: Any) -> dict[str, Score]:
    """A model's scores by topic and form."""
    return score(questions, answers(*load(name), questions, images))


def load(name: str) -> tuple[Any, Any]:
    """A model and its processor."""
    folder = model_path(name)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoProcessor.from_pretrained(folder)


def figures(by_key: dict[str, Score]) -> dict[str, dict[str, int]]:
    return {key: {"asked": s.asked, "right": s.right, "constant": s.majority} for key, s in by_key.items()}


def table(scores: dict[str, dict[str, Score]], keys: Any) -> str:
    lines = ["| questions | asked | constant | base | tuned | shuffled |", "|---|---|---|---|---|---|"]
    for key in keys:
        tuned = scores["tuned"][key]
        cells = [f"{by_key[key].accuracy:.3f}" for by_key in scores.values()]
        lines.append(f"| {key} | {tuned.asked} | {tuned.majority / tuned.asked:.3f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def show(args: argparse.Namespace, images: Any, scenes: list[Scene]) -> None:
    """Pictures on one sheet, and what both models answer to an open question about each, as a table."""
    sheet = Image.new("RGB", (5 * TILE_PX, -(-len(args.pick) // 5) * TILE_PX), "white")
    models = [load(name) for name in (args.base, args.tuned)]
    print("| | question | base | tuned | captions |\n|---|---|---|---|---|")
    for place, number in enumerate(args.pick):
        tile = Image.fromarray(images[number]).resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC)
        ImageDraw.Draw(tile).text(
            (6, 4), str(place + 1), fill="white", stroke_width=2, stroke_fill="black", font_size=22
        )
        sheet.paste(tile, (place % 5 * TILE_PX, place // 5 * TILE_PX))
        who = "the " + next((n for n in NOUNS if any(n in c.split() for c in scenes[number].captions)), "person")
        question = OPEN[place % len(OPEN)].format(who=who)
        said = [say(model, processor, images[number], question) for model, processor in models]
        print(f"| {place + 1} ({number}) | {question} | {' | '.join(said)} | {scenes[number].captions[0]} |")
    sheet.save(args.sheet, quality=88)


if __name__ == "__main__":
    main()
