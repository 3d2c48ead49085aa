from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_forms import PAIRS, REFUSED, SINGLES

from kpray.prompts import ParseFailure
from kpray.scoring.judging.parse import parse_ratings
from kpray.scoring.judging.ratings import Ratings, write_ratings
from kpray.scoring.types import Aspects


@pytest.mark.parametrize(("text", "first", "second"), PAIRS)
def test_two_ratings_are_read_in_the_order_shown(text: str, first: float, second: float) -> None:
    assert parse_ratings(text, count=2).scores == (first, second)


@pytest.mark.parametrize(("text", "score"), SINGLES)
def test_one_rating_is_read(text: str, score: float) -> None:
    assert parse_ratings(text, count=1).scores == (score,)


@pytest.mark.parametrize(("text", "count", "reason"), REFUSED)
def test_what_is_not_beyond_doubt_is_refused_by_name(text: str, count: int, reason: str) -> None:
    with pytest.raises(ParseFailure) as caught:
        parse_ratings(text, count=count)
    assert caught.value.reason == reason


def test_there_are_many_forms() -> None:
    assert len(PAIRS) + len(SINGLES) + len(REFUSED) >= 180


def test_the_explanation_is_what_states_no_rating() -> None:
    read = parse_ratings("8 9\n\nThe first counts 2 people.\nThe second counts 3.", count=2)
    assert read.explanation == "The first counts 2 people.\nThe second counts 3."


def test_a_reply_that_was_cut_off_loses_its_last_line() -> None:
    with pytest.raises(ParseFailure, match="truncated"):
        parse_ratings("8 1", count=2, complete=False)  # may have become "8 10"
    assert parse_ratings("8 9\nThe first is ri", count=2, complete=False).scores == (8, 9)


def test_aspects_are_kept_only_when_all_are_there() -> None:
    four = '{"helpfulness": 7, "relevance": 9, "accuracy": 6, "detail": 5.5, "overall": 8}'
    whole = parse_ratings(f'{{"explanation": "so", "answer_1": {four}, "answer_2": {four}}}', count=2)
    assert whole == Ratings((8, 8), "so", (Aspects(7, 9, 6, 5.5), Aspects(7, 9, 6, 5.5)))
    lacking = parse_ratings(f'{{"answer_1": {four}, "answer_2": {{"accuracy": 3, "overall": 8}}}}', count=2)
    assert lacking.aspects == ()


def halves() -> st.SearchStrategy[float]:
    return st.integers(2, 20).map(lambda n: n / 2)


def aspects() -> st.SearchStrategy[Aspects]:
    return st.builds(Aspects, halves(), halves(), halves(), halves())


@settings(deadline=None)
@given(scores=st.lists(halves(), min_size=1, max_size=2), data=st.data())
def test_what_is_written_as_json_is_read_back(scores: list[float], data: st.DataObject) -> None:
    parts = data.draw(st.one_of(st.just([]), st.lists(aspects(), min_size=len(scores), max_size=len(scores))))
    explanation = data.draw(st.text(st.characters(codec="ascii", categories=("L", "Zs")))).strip()
    ratings = Ratings(tuple(scores), explanation, tuple(parts))
    assert parse_ratings(write_ratings(ratings, structured=True), count=len(scores)) == ratings


@settings(deadline=None)
@given(scores=st.lists(halves(), min_size=1, max_size=2), explanation=st.text())
def test_no_explanation_changes_the_ratings_on_the_first_line(scores: list[float], explanation: str) -> None:
    text = write_ratings(Ratings(tuple(scores), explanation), structured=False)
    try:
        read = parse_ratings(text, count=len(scores)).scores
    except ParseFailure:
        return  # better refused than misread
    assert read == tuple(scores)


@settings(deadline=None)
@given(text=st.text(alphabet="0123456789 .,;:/-|[]{}()\"'\nAB%asnwertio*_", max_size=60), count=st.integers(1, 2))
def test_anything_is_read_as_ratings_on_the_scale_or_refused(text: str, count: int) -> None:
    try:
        scores = parse_ratings(text, count=count).scores
    except ParseFailure:
        return
    assert len(scores) == count
    assert all(1 <= score <= 10 for score in scores)


@pytest.mark.parametrize("noise", ["{}", "8{}9x", "8 9 {}x", "Assistant 1: 8{}x", "<think>{}"])
@pytest.mark.parametrize("filling", [" ", "\t", "1 ", "[[", "8 - ", "Assistant 1 ", "8 (", "and "])
def test_a_reply_of_any_length_is_refused_in_reasonable_time(noise: str, filling: str) -> None:
    text = noise.format(filling * 40_000)  # quadratic time would take minutes
    with pytest.raises(ParseFailure):
        parse_ratings(text, count=2)
