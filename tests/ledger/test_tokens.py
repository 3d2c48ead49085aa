from __future__ import annotations

from pathlib import Path

import pytest
from scenes import person, scene

from kpray.config import TeacherConfig
from kpray.ledger import tokenizers
from kpray.ledger.tokenizers import find_counter
from kpray.ledger.tokens import TokenMeter, rough_tokens
from kpray.prompts import KINDS
from kpray.schemas import KIND_NAMES, KindName, Message, Request, Sampling, SceneObject, Usage

PROSE = (
    "Two people stand side by side on a wide, sandy beach. The one at image-left raises both arms above the head, with "
    "the elbows slightly bent, while the other leans forward and looks down at something near their feet. Behind them, "
    "small waves roll towards the shore."
)
COORDINATES = (
    "A man stands on a field.\nperson: [0.36, 0.08, 0.64, 0.93], keypoints: [0.5, 0.15, 2, 0.515, 0.135, 2, 0.485, "
    "0.135, 2, 0.0, 0.0, 0, 0.47, 0.145, 1]\nsports ball: [0.7, 0.85, 0.76, 0.91]"
)
JSON = (
    '{"turns": [{"question": "Is the person standing?", "answer": "Yes, the person is standing upright, with straight '
    'knees."}]}'
)


def request(text: str, *, kind: KindName = "detailed", max_tokens: int | None = None) -> Request:
    return Request(kind, "1", (Message("user", text),), "openai/m", Sampling(max_tokens=max_tokens))


@pytest.mark.parametrize(("text", "o200k_tokens"), [(PROSE, 56), (COORDINATES, 120), (JSON, 31)])
def test_pieces_are_close_to_the_tokens_of_openais_models(text: str, o200k_tokens: int) -> None:
    """The counts are tiktoken's with its encoding o200k_base."""
    overhead = rough_tokens(request(""))
    assert rough_tokens(request(text)) - overhead == pytest.approx(o200k_tokens, rel=0.1)


def test_letters_beyond_ascii_count_more() -> None:
    assert rough_tokens(request("мяч мяч мяч")) > rough_tokens(request("one two ten"))


def test_a_schema_counts_as_part_of_the_prompt() -> None:
    plain = KINDS["conversation"].render(scene(), seed=0, structured=False, max_context_chars=9_999).messages
    without = Request("conversation", "1", plain, "openai/m", Sampling())
    schema = Request("conversation", "1", plain, "openai/m", Sampling(), response_schema={"type": "object"})
    assert rough_tokens(schema) > rough_tokens(without)


def test_the_meter_learns_a_kinds_ratio_and_leaves_other_kinds_alone() -> None:
    meter = TokenMeter()
    expected = meter.prompt_tokens(request(PROSE))
    for _ in range(5):
        meter.observe(request(PROSE), Usage(2 * expected, 77))
    assert meter.prompt_tokens(request(PROSE)) == 2 * expected
    assert meter.completion_tokens(request(PROSE)) == 77
    assert meter.prompt_tokens(request(PROSE, kind="reasoning")) == expected


def test_what_was_learned_holds_for_longer_prompts() -> None:
    meter = TokenMeter()
    meter.observe(request(PROSE), Usage(rough_tokens(request(PROSE)), 10))
    many = COORDINATES * 20
    assert meter.prompt_tokens(request(many)) == pytest.approx(20 * 120, rel=0.05)


def test_the_longest_reply_is_the_limit_that_is_sent_or_somewhat_more_than_was_seen() -> None:
    meter = TokenMeter()
    assert meter.most_completion_tokens(request(PROSE, max_tokens=50)) == 50
    assert meter.most_completion_tokens(request(PROSE)) == 1_024
    meter.observe(request(PROSE), Usage(10, 4_000))
    assert meter.most_completion_tokens(request(PROSE)) == 5_000


def test_a_reply_without_counts_teaches_nothing() -> None:
    meter = TokenMeter()
    before = meter.prompt_tokens(request(PROSE))
    meter.observe(request(PROSE), None)
    meter.observe(request(PROSE), Usage(0, 0))
    assert meter.prompt_tokens(request(PROSE)) == before


@pytest.mark.parametrize("kind", KIND_NAMES)
@pytest.mark.parametrize("structured", [True, False])
def test_what_is_constant_comes_first_and_is_long_enough_for_openais_cache(kind: KindName, structured: bool) -> None:
    """OpenAI caches prompts whose first 1,024 tokens or more are the same."""
    several = [
        scene("1"),
        scene("2", captions=("Another caption.",), objects=()),
        scene("3", people=(person(1), person(2, num_labelled=3))),
        scene("4", objects=tuple(SceneObject(i, "chair", (0.1, 0.1, 0.2, 0.2)) for i in range(300))),
    ]
    prompts = [KINDS[kind].render(s, seed=5, structured=structured, max_context_chars=3_000) for s in several]
    constant = {prompt.messages[:-1] for prompt in prompts}
    assert len(constant) == 1
    first = Request(kind, "1", constant.pop(), "openai/m", Sampling())
    assert len({prompt.messages[-1] for prompt in prompts}) == len(several)
    assert rough_tokens(first) > 1_500


def test_without_a_tokenizer_the_counter_says_that_it_reckons() -> None:
    counter = find_counter(TeacherConfig(name="openai", model="my-own-model"))
    assert not counter.exact
    assert "no tokenizer" in counter.name
    assert counter.count(request(PROSE)) == rough_tokens(request(PROSE))


def test_an_encoding_counts_as_at_hand_only_if_tiktoken_would_not_download_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert not tokenizers._is_downloaded("o200k_base")
    (tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790").touch()  # the name that tiktoken gives it
    assert tokenizers._is_downloaded("o200k_base")


def test_a_local_models_own_tokenizer_counts(tmp_path: Path) -> None:
    library = pytest.importorskip("tokenizers")
    words = library.Tokenizer(library.models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = library.pre_tokenizers.WhitespaceSplit()
    words.save(str(tmp_path / "tokenizer.json"))
    counter = find_counter(TeacherConfig(name="vllm", model=str(tmp_path)))
    assert counter.exact
    assert counter.count(request("a b c d e")) - counter.count(request("")) == 5
