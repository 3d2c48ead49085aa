"""Answers are the model's own, whoever shares the batch."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from serving_models import answer_of, answers_of, ask, picture, saved_model, served, text_of
from tiny_families import tiny
from transformers import AutoModelForImageTextToText

from kpray.errors import ConfigError
from kpray.serving.engines.processors import load_processor
from kpray.serving.engines.sampling import draw_of, next_tokens
from kpray.serving.engines.text import Detokenizer, StopTexts
from kpray.serving.engines.transformers_engine import TransformersEngine
from kpray.serving.errors import ApiError
from kpray.serving.types import ChatMessage, ChatRequest, ChatSampling, Image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_model(tmp_path_factory.mktemp("models") / "llava")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[TransformersEngine]:
    made = TransformersEngine(served(folder, batch_size=4))
    yield made
    made.close()


def generated(folder: Path, request: ChatRequest) -> tuple[str, int]:
    """What `generate` says to one request alone, and how many tokens it read."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    processor = load_processor(str(folder))
    content = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image", "image": PIL.Image.open(io.BytesIO(part.encoded))}
        for part in request.messages[0].parts
    ]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        tokens = model.generate(**inputs, do_sample=False, max_new_tokens=request.sampling.max_tokens)
    read = inputs["input_ids"].shape[1]
    return processor.tokenizer.decode(tokens[0, read:], skip_special_tokens=True), read


@pytest.mark.parametrize("family", ["llava", "llava_next", "qwen2_vl", "qwen2_5_vl"])
def test_greedy_answers_are_generates_also_in_company_of_latecomers(family: str, tmp_path: Path) -> None:
    folder = saved_model(tmp_path / family, family)
    requests = [
        ask("What is the person doing?", picture(0), max_tokens=40),
        ask("Describe the pose.", max_tokens=7),
        ask(picture(1, width=50, height=120), "and this:", picture(2), "Which arm is raised?", max_tokens=30),
        ask("Is the left knee bent? " * 9, picture(3), max_tokens=25),
        ask("What?", picture(4), max_tokens=33),
    ]
    engine = TransformersEngine(served(folder, batch_size=3))
    try:
        answers = answers_of(engine, requests, apart_s=0.02)
    finally:
        engine.close()
    for request, pieces in zip(requests, answers, strict=True):
        text, read = generated(folder, request)
        assert text_of(pieces) == text
        assert pieces[-1].prompt_tokens == read
        assert pieces[-1].completion_tokens <= request.sampling.max_tokens
        assert all(piece.finish_reason is None for piece in pieces[:-1])


def test_a_seed_draws_the_same_alone_and_in_company(engine: TransformersEngine) -> None:
    request = ask("What is the person doing?", picture(), temperature=0.9, top_p=0.9, seed=7, max_tokens=24)
    others = [ask("Why?", picture(i), temperature=1.3, seed=i, max_tokens=12) for i in range(3)]
    alone = text_of(answers_of(engine, [request])[0])
    assert text_of(answers_of(engine, [*others, request])[-1]) == alone
    different = ask("What is the person doing?", picture(), temperature=0.9, top_p=0.9, seed=8, max_tokens=24)
    assert text_of(answers_of(engine, [different])[0]) != alone


def test_without_a_seed_two_answers_differ(engine: TransformersEngine) -> None:
    request = ask("What is the person doing?", temperature=1.5, max_tokens=24)
    first, second = answers_of(engine, [request, request])
    assert text_of(first) != text_of(second)


def test_nothing_of_a_stop_text_is_streamed(engine: TransformersEngine) -> None:
    whole = text_of(answers_of(engine, [ask("Describe the pose.", picture(), max_tokens=24)])[0])
    stop = whole[9:14]
    (pieces,) = answers_of(engine, [ask("Describe the pose.", picture(), max_tokens=24, stop=("never", stop))])
    assert text_of(pieces) == whole[: whole.index(stop)]
    assert pieces[-1].finish_reason == "stop"
    assert pieces[-1].completion_tokens < 24


def test_the_longest_answer_ends_with_length(engine: TransformersEngine) -> None:
    (pieces,) = answers_of(engine, [ask("Describe the pose.", max_tokens=3)])
    assert (pieces[-1].finish_reason, pieces[-1].completion_tokens) == ("length", 3)


def test_a_vanished_client_frees_its_place(folder: Path) -> None:
    engine = TransformersEngine(served(folder, batch_size=1))

    async def run() -> tuple[int, int]:
        stream = engine.answer(ask("Describe the pose.", max_tokens=1900))
        await anext(stream)
        assert engine.running == 1
        await stream.aclose()
        pieces = await answer_of(engine, ask("What?", max_tokens=2))
        return pieces[-1].completion_tokens, engine.queued

    try:
        assert asyncio.run(run()) == (2, 0)
    finally:
        engine.close()


def refused(engine: TransformersEngine, request: ChatRequest) -> ApiError:
    with pytest.raises(ApiError) as caught:
        answers_of(engine, [request])
    return caught.value


def test_too_long_a_prompt_is_refused_with_both_figures(engine: TransformersEngine) -> None:
    error = refused(engine, ask("left arm " * 1500))
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "messages")
    assert "2047" in error.message
    assert refused(engine, ask("x" * 3_000_000)).code == "context_length_exceeded"


def test_prompt_and_answer_fit_the_model_together(folder: Path) -> None:
    engine = TransformersEngine(served(folder, max_length=64))
    try:
        (pieces,) = answers_of(engine, [ask("Describe the pose. " * 2, max_tokens=1000)])
        assert pieces[-1].prompt_tokens + pieces[-1].completion_tokens == 64
        assert pieces[-1].finish_reason == "length"
    finally:
        engine.close()


def test_an_operators_limit_on_prompts_counts_image_tokens(folder: Path) -> None:
    engine = TransformersEngine(served(folder), prompt_tokens=30)
    try:
        answers_of(engine, [ask("What?", max_tokens=1)])
        assert refused(engine, ask("What?", picture(), picture(1))).code == "context_length_exceeded"
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("request_", "code", "param"),
    [
        (ask("Describe.", json_schema={"type": "object"}), "unsupported_parameter", "response_format"),
        (ask("look: <image>", picture()), "invalid_prompt", "messages"),
        (ask("What?", Image(picture().encoded[:2000], "image/png", 90, 60)), "invalid_image", "messages[0].content[1]"),
    ],
)
def test_what_it_cannot_read_is_the_clients_error_and_others_are_answered(
    engine: TransformersEngine, request_: ChatRequest, code: str, param: str
) -> None:
    error = refused(engine, request_)
    assert (error.status, error.code, error.param) == (400, code, param)
    assert answers_of(engine, [ask("What?", max_tokens=2)])[0][-1].completion_tokens == 2


def test_messages_that_the_template_refuses_are_the_clients_error(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "strict")
    (folder / "chat_template.jinja").write_text("{{ raise_exception('roles must alternate') }}")
    engine = TransformersEngine(served(folder))
    try:
        error = refused(engine, ask("What?"))
        assert (error.status, error.code) == (400, "invalid_prompt")
        assert "roles must alternate" in error.message
    finally:
        engine.close()


def test_a_system_message_and_earlier_turns_are_read(engine: TransformersEngine) -> None:
    sampling = ChatSampling(temperature=0.0, top_p=1.0, max_tokens=8)
    turns = (
        ChatMessage("system", ("Be brief.",)),
        ChatMessage("user", ("Describe the pose.", picture())),
        ChatMessage("assistant", ("The person stands.",)),
        ChatMessage("user", ("Which arm?",)),
    )
    short = answers_of(engine, [ChatRequest("r", "tiny", turns[1:2], sampling)])[0][-1].prompt_tokens
    assert answers_of(engine, [ChatRequest("r", "tiny", turns, sampling)])[0][-1].prompt_tokens > short + 8


def test_a_failed_step_fails_its_rows_and_no_others(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = TransformersEngine(served(folder))
    forward, broken = engine._loaded.model.forward, [True]

    def fail(*args: Any, **kwargs: Any) -> Any:
        if broken[0]:
            raise RuntimeError("no memory")
        return forward(*args, **kwargs)

    engine._loaded.model.forward = fail
    try:
        error = refused(engine, ask("What?"))
        assert (error.status, error.code, error.retry_after_s) == (503, "engine_failed", 1)
        asyncio.run(engine.check_health())
        broken[0] = False
        assert answers_of(engine, [ask("What?", max_tokens=2)])[0][-1].completion_tokens == 2
        broken[0] = True
        for _ in range(3):
            refused(engine, ask("What?"))
        with pytest.raises(RuntimeError, match="the last 3 steps of the model failed"):
            asyncio.run(engine.check_health())
    finally:
        engine.close()
    assert "no memory" in caplog.text


def test_closing_finishes_what_is_under_way_and_refuses_more(folder: Path) -> None:
    engine = TransformersEngine(served(folder))

    async def run() -> int:
        stream = engine.answer(ask("Describe the pose.", max_tokens=60))
        await anext(stream)
        closing = asyncio.create_task(asyncio.to_thread(engine.close))
        rest = [piece async for piece in stream]
        await closing
        with pytest.raises(RuntimeError):
            await answer_of(engine, ask("What?"))
        return rest[-1].completion_tokens

    assert asyncio.run(run()) == 60


def test_the_card_tells_length_and_lineage(folder: Path, tmp_path: Path) -> None:
    copy = saved_model(tmp_path / "tuned")
    (copy / "lineage.json").write_text('{"run": "runs/tiny"}')
    engine = TransformersEngine(served(copy, name="tuned"))
    card = engine.card()
    engine.close()
    assert (card.id, card.engine, card.max_tokens, card.lineage) == (
        "tuned",
        "transformers",
        2048,
        {"run": "runs/tiny"},
    )
    assert card.created > 1_700_000_000


def test_a_folder_that_is_no_model_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Expected a Hugging Face image-text-to-text model"):
        TransformersEngine(served(tmp_path))
    with pytest.raises(ConfigError, match="more than the 2048 tokens"):
        TransformersEngine(served(saved_model(tmp_path / "m"), max_length=4096))


@pytest.mark.parametrize("family", ["llava", "qwen2_vl"])
def test_characters_of_several_tokens_come_whole(family: str) -> None:
    tokenizer = tiny(family).processor.tokenizer
    text = "The person's arm: Grüße, 漢字 and 🙂🙃, done."
    detokenizer = Detokenizer(tokenizer)
    tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
    pieces = [detokenizer.push(token) for token in tokens]
    assert "".join(pieces) + detokenizer.rest() == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert "" in pieces  # some token was half a character


def test_half_a_character_at_the_end_is_given_at_the_end() -> None:
    tokenizer = tiny("llava").processor.tokenizer
    detokenizer = Detokenizer(tokenizer)
    tokens = tokenizer("a🙂", add_special_tokens=False)["input_ids"]
    assert "".join(map(detokenizer.push, tokens[:-1])) == "a"
    assert set(detokenizer.rest()) == {"\ufffd"}


@pytest.mark.parametrize(
    ("stop", "pieces", "given", "stopped"),
    [
        (("END",), ["some E", "N", "D more"], "some ", True),
        (("END",), ["some E", "N", "X"], "some ENX", False),
        (("aab",), ["a", "a", "a", "b"], "a", True),
        (("later", "a"), ["xa later"], "x", True),
        (("", "###"), ["## no"], "## no", False),
        ((), ["all", " of it"], "all of it", False),
    ],
)
def test_stop_texts_are_found_across_pieces(
    stop: tuple[str, ...], pieces: list[str], given: str, stopped: bool
) -> None:
    texts, out, ended = StopTexts(stop), "", False
    for piece in pieces:
        text, ended = texts.push(piece)
        out += text
        assert given.startswith(out)
    assert (out + ("" if ended else texts.rest()), ended) == (given, stopped)


def test_draws_follow_the_probabilities_within_top_p() -> None:
    probabilities = torch.tensor([0.1, 0.5, 0.15, 0.25])
    rows = 4000
    logits = probabilities.log().expand(rows, 4)
    free = next_tokens(logits, [draw_of(1.0, 1.0, seed) for seed in range(rows)])
    for token, probability in enumerate(probabilities.tolist()):
        assert free.count(token) / rows == pytest.approx(probability, abs=0.03)
    narrow = next_tokens(logits, [draw_of(1.0, 0.7, seed) for seed in range(rows)])
    assert set(narrow) == {1, 3}
    assert narrow.count(1) / rows == pytest.approx(2 / 3, abs=0.03)
    assert set(next_tokens(logits, [draw_of(1.0, 0.0, seed) for seed in range(rows)])) == {1}
    assert set(next_tokens(logits, [draw_of(0.0, 1.0, seed) for seed in range(rows)])) == {1}
