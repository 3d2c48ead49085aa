"""Questions and answers held against each other: what a question must not do, and what an answer must not repeat."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Final

from simplemma import lemmatize

from kpray.quality.findings import Found, quoted, sentences, word_set

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?")
_IN_QUOTES: Final = re.compile(r'"[^"\n]{0,500}"|“[^”\n]{0,500}”')
_QUESTION_END: Final = re.compile(r"(?<!\?)\?++(?=\s|$)")
_JOINED: Final = re.compile(
    r",? (?:and|or) (?:who|whose|what|where|which|how|why|when)\b(?= \w)|, (?:what|where|how|why|when)\b(?= \w)",
    re.IGNORECASE,
)
_ASKING_WORD: Final = re.compile(r"^\W*(?:who|whose|what|where|which|how|why|when|in which|at what)\b", re.IGNORECASE)
_TAG: Final = re.compile(
    r",? (?:is|are|was|were|does|do|did|has|have|had|can|could|will|would)n['’]t (?:he|she|it|they|there|we)\?\s*$"
    r"|, (?:right|correct|yes|true|no)\?\s*$",
    re.IGNORECASE,
)
_EMPTY_WORDS: Final = word_set(
    """a an the this that these those be is are am was were been being do does did doing have has had having i you he
    she it they we him her them his its their theirs hers who whom whose what which where when why how of in on at to
    with and as by for from picture image photo scene there can could may might would will should must s one"""
)

_PARTS: Final = (
    r"(?:arms?|elbows?|wrists?|hands?|fists?|forearms?|shoulders?|torso|trunk|upper\ body|back|head|chin|hips?|legs?"
    r"|knees?|ankles?|feet|foot|fingers?)"
)
_HELD: Final = (
    r"(?:bent|raised|lifted|lowered|crossed|folded|outstretched|stretched|extended|straight|straightened|spread"
    r"|clenched|arched|tucked|clasped|splayed|locked|wide\ apart|apart|together|overhead|upright|up\ in\ the\ air)"
)
_MOVES: Final = (
    r"(?:rais|lift|bend|stretch|extend|cross|fold|lower|spread|tuck|clasp|straighten|rest|plac|put|keep|hold)"
    r"(?:e|es|s|ing|ting|ed)?"
)
_COLOUR: Final = (
    r"(?:red|blue|green|yellow|orange|purple|pink|black|white|gr[ae]y|brown|beige|golden|striped|checkered|plaid)"
)
_CLOTHES: Final = (
    r"(?:shirt|t-shirt|jacket|coat|dress|skirt|trousers|pants|jeans|shorts|hat|cap|helmet|top|sweater|hoodie|vest"
    r"|suit|uniform|jersey|shoes|gloves|scarf|socks|boots)"
)
_DETAIL: Final = re.compile(
    rf"""
    \b{_HELD}\ (?:(?:left|right|upper|lower)\ )?{_PARTS}\b
  | \b{_PARTS}\ (?:(?:is|are|was|were|so|very|both|sharply|slightly|fully|almost|held|kept)\ ){{0,3}}{_HELD}\b
  | \b{_MOVES}\ (?:(?:up|out)\ )?(?:his|her|their|the|both|one|a)\ (?:(?:of\ )?(?:his|her|their|the)\ )?
       (?:(?:left|right|upper|lower|two|other)\ )?{_PARTS}\b
  | \b(?:{_PARTS})\ on\ (?:his|her|their|the)\ (?:{_PARTS})\b
  | \b(?:arms?|hands?|legs?)\ (?:\w+\ ){{0,2}}above\ (?:his|her|their|the)\ head\b
  | \b{_COLOUR}\ (?:\w+\ )?{_CLOTHES}\b
  | \b(?:three|four|five|six|seven|eight|nine|ten|\d+)\ (?:\w+\ )?
       (?:people|persons|men|women|boys|girls|children|players)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def several_questions(question: str) -> Iterator[Found]:
    """That a turn asks more than one question; "how many are there, and are they standing" is one."""
    plain = _IN_QUOTES.sub(lambda match: "x" * len(match.group()), question)
    ends = list(_QUESTION_END.finditer(plain))
    joined = list(_JOINED.finditer(plain)) if _ASKING_WORD.search(plain) else []
    if len(ends) > 1 or len(joined) > 1:
        start = ends[0].end() if len(ends) > 1 else joined[0].start()
        yield Found("several_questions", start, len(question), "asks several questions at once; ask one")


def reveals_details(question: str) -> Iterator[Found]:
    """Details in a question that its answer should find in the picture."""
    for match in _DETAIL.finditer(question):
        detail = f"gives away {quoted(match.group())}; ask without it, so that it must be seen"
        yield Found("reveals_details", match.start(), match.end(), detail)


def gives_answer(question: str, answer: str) -> Iterator[Found]:
    """That a question already says what its answer tells.

    Questions for yes or no, and between two things with "or", name their answer by their nature and are let pass.
    """
    tag = _TAG.search(question)
    if tag is not None or (_is_open(question) and _adds_nothing(question, answer)):
        start, end = tag.span() if tag else (0, len(question))
        detail = f"already says its answer ({quoted(question)}); ask without giving it away"
        yield Found("question_gives_answer", start, end, detail)


def repeats_question(question: str, answer: str) -> Iterator[Found]:
    """Where an answer asks its question again."""
    asked = _words(question)
    if len(asked) < 3:
        return
    for piece in re.finditer(r"[^.!?:\"“”\n]+", answer):
        said = _words(piece.group())
        if said[-len(asked) :] == asked:
            detail = f"repeats the question ({quoted(piece.group())}); answer at once"
            yield Found("answer_repeats_question", piece.start(), piece.end(), detail)


def repeats_itself(answer: str) -> Iterator[Found]:
    """A sentence that stands twice in a row or three times in one text."""
    seen: dict[tuple[str, ...], int] = {}
    before: tuple[str, ...] = ()
    for sentence in sentences(answer):
        words = tuple(_words(sentence.group()))
        seen[words] = seen.get(words, 0) + 1
        if len(words) >= 4 and (words == before or seen[words] == 3):
            detail = f"repeats itself ({quoted(sentence.group())}); say everything once"
            yield Found("repeats_itself", sentence.start(), sentence.end(), detail)
        before = words


def same_words(text: str) -> str:
    """A text without case, marks and spaces, to compare turns by."""
    return " ".join(_words(text))


def _is_open(question: str) -> bool:
    return _ASKING_WORD.search(question) is not None and " or " not in question.lower()


def _adds_nothing(question: str, answer: str) -> bool:
    said = _meaning(answer)
    return bool(said) and said <= _meaning(question)


def _meaning(text: str) -> set[str]:
    return {_lemma(word) for word in _words(text) if word not in _EMPTY_WORDS}


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


@functools.lru_cache(maxsize=20_000)
def _lemma(word: str) -> str:
    return lemmatize(word.removesuffix("'s").removesuffix("’s"), lang="en").lower()
