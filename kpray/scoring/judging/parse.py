"""Reading a judge's reply: ratings beyond doubt, or a named reason why not; never a guess.

JSON is read in the shape that was asked for and in near ones (`json_ratings`). In plain text a statement of ratings is
looked for, wherever it stands: a line or sentence that says nothing else (`statements`). Numbers in ordinary prose are
no ratings. If statements contradict one another, the reply is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from kpray.prompts import ParseFailure
from kpray.prompts.reply_text import find_json
from kpray.scoring.judging.json_ratings import ratings_of_json
from kpray.scoring.judging.ratings import Ratings
from kpray.scoring.judging.statements import Statement, read_line

_THOUGHTS: Final = re.compile(r"\A\s*<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPEN_THOUGHTS: Final = re.compile(r"\s*<(think|thinking|reasoning)>", re.IGNORECASE)
_DOUBLE_BRACKETS: Final = re.compile(r"\[\[[ ]*([0-9.]+)[ ]*\]\]")
"""A form that some judges learned ("Rating: [[8]]"), which must not be taken for JSON."""

_JSON: Final = re.compile(r"[\[{].*[\]}]", re.DOTALL)
_FENCE: Final = re.compile(r"^[ \t]*```.*$", re.MULTILINE)


def parse_ratings(text: str, *, count: int, complete: bool = True) -> Ratings:
    """Read a reply in any form.

    Args:
        text: As it came.
        count: How many answers were shown.
        complete: Whether the server ended it by itself; of a reply that was cut off, the last line does not count.

    Raises:
        ParseFailure: It holds no ratings, or not beyond doubt. The reasons: ``empty``, ``truncated``, ``no_scores``,
            ``no_overall``, ``wrong_count``, ``several_scores``, ``out_of_range``, ``other_scale``, ``score_range``, and
            those of JSON in `kpray.prompts.reply_text`.
    """
    text = _THOUGHTS.sub("", unicodedata.normalize("NFKC", text.removeprefix("\ufeff")), count=1)
    if not complete:
        text = text.rpartition("\n")[0]
    if _OPEN_THOUGHTS.match(text) or (not complete and not text.strip()):
        raise ParseFailure("truncated", "the reply ends before there is a rating")
    if not text.strip():
        raise ParseFailure("empty", "the reply is empty")
    text = _DOUBLE_BRACKETS.sub(r"\1", text)
    found = find_json(text)
    if found is None:
        return _of_text(_FENCE.sub("", text), count)
    ratings = ratings_of_json(found, count)
    _refuse_other_scores(_JSON.sub("\n", text), ratings, count)
    return ratings


def _refuse_other_scores(beside: str, ratings: Ratings, count: int) -> None:
    """JSON may be a quotation; ratings in the text beside it must be the same."""
    try:
        others = _of_text(_FENCE.sub("", beside), count).scores
    except ParseFailure:
        return
    if others != ratings.scores:
        raise ParseFailure("several_scores", "the text beside the JSON gives other ratings than the JSON")


def _of_text(text: str, count: int) -> Ratings:
    lines = [line for line in text.splitlines() if line.strip()]
    read = [tuple(read_line(line)) for line in lines]
    statements = list(_attributed(read, count))
    scores = _agreed(statements, count) if statements else _of_bare_lines(read, count)
    if scores is None:
        raise _nothing_found(read, count)
    prose = (line.strip() for line, said in zip(lines, read, strict=True) if not said)
    return Ratings(scores, "\n".join(prose))


def _attributed(read: Sequence[Sequence[Statement]], count: int) -> Iterator[dict[int, float]]:
    """What the statements say of answers 1..count; a heading such as "Answer 2" speaks for what follows it."""
    heading: int | None = None
    for statement in (statement for line in read for statement in line):
        if statement.aspect:
            continue
        if statement.labels and not statement.scores:
            heading = statement.labels[0] if len(statement.labels) == 1 else None
        elif statement.labels:
            yield dict(zip(statement.labels, statement.scores, strict=True))
        elif len(statement.scores) == count > 1 or (count == 1 and statement.named):
            yield dict(enumerate(statement.scores, 1))
        elif len(statement.scores) == 1 and heading is not None:
            yield {heading: statement.scores[0]}
        elif statement.named or len(statement.scores) > 1:
            raise _wrong_count(count, len(statement.scores))


def _agreed(statements: Sequence[dict[int, float]], count: int) -> tuple[float, ...]:
    """The one score of each answer."""
    scores: dict[int, float] = {}
    for statement in statements:
        for label, score in statement.items():
            if scores.setdefault(label, score) != score:
                raise ParseFailure(
                    "several_scores", f"expected one rating of answer {label}, found {scores[label]:g} and {score:g}"
                )
    if set(scores) != set(range(1, count + 1)):
        raise _wrong_count(count, len(scores))
    return tuple(scores[label] for label in range(1, count + 1))


def _of_bare_lines(read: Sequence[Sequence[Statement]], count: int) -> tuple[float, ...] | None:
    """Ratings that stand alone, one per line, on the first or the last lines; and on no others."""
    bare = [i for i, line in enumerate(read) if any(map(_is_bare, line))]
    at_an_end = bare in (list(range(count)), list(range(len(read) - count, len(read))))
    if not at_an_end or any(len(read[i]) != 1 for i in bare):
        return None
    return tuple(read[i][0].scores[0] for i in bare)


def _is_bare(said: Statement) -> bool:
    return len(said.scores) == 1 and not said.labels


def _nothing_found(read: Sequence[Sequence[Statement]], count: int) -> ParseFailure:
    said = [statement for line in read for statement in line]
    if any(statement.aspect for statement in said):
        return ParseFailure("no_overall", "there are ratings of single aspects, but none of an answer as a whole")
    bare = sum(len(statement.scores) for statement in said)
    if bare:
        return _wrong_count(count, bare)
    return ParseFailure("no_scores", "no line holds ratings and nothing else")


def _wrong_count(count: int, found: int) -> ParseFailure:
    return ParseFailure("wrong_count", f"expected ratings of {count} answers, found {found}")
