"""From the turns of a conversation to claims."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from kpray.quality.grounding.claims import Claim, Mention
from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.absorb import absorb
from kpray.quality.grounding.extract.bodies import find_bodies
from kpray.quality.grounding.extract.clauses import read_subjects
from kpray.quality.grounding.extract.counts import find_counts, read_number
from kpray.quality.grounding.extract.following import what_follows
from kpray.quality.grounding.extract.items import Sentence
from kpray.quality.grounding.extract.limbs import find_limbs
from kpray.quality.grounding.extract.people import Discourse
from kpray.quality.grounding.extract.phrases import Chunker
from kpray.quality.grounding.extract.reading import Reading
from kpray.quality.grounding.extract.relations import find_relations
from kpray.quality.grounding.extract.rewrite import rewrite
from kpray.quality.grounding.extract.scope import read_scopes
from kpray.quality.grounding.text import Analyzer, SimpleAnalyzer, Token
from kpray.schemas import IMAGE_TOKEN

_FINDERS: Final = (find_counts, find_bodies, find_limbs, find_relations)
_POLAR: Final = lex.words("is are does do has have can isn't aren't doesn't would")
_TAGS: Final = lex.words("right correct true yes")
_PLAIN_WORDS: Final = lex.words(
    """
    are is there in the this image picture photo photograph scene visible present shown seen be can you see does
    show total altogether ? . do appear we pictured depicted 's 're exist shows featured exactly on here captured
    """
)
_PEOPLE_WORDS: Final = lex.words("people persons individuals humans")
_NUMBER_QUESTIONS: Final = [
    words.split()
    for words in (
        "how many",
        "what is the number of",
        "what is the total number of",
        "what 's the number of",
        "count the",
        "count all the",
        "tell me the number of",
        "tell me how many",
    )
]
_COUNTING: Final = lex.words(
    """
    there are is a the total of only just exactly i we you can see count it in all answer number people persons person
    individuals image picture photo scene visible to be shown together altogether
    """
)
_YES: Final = lex.words(
    "yes yeah yep correct indeed right absolutely certainly exactly definitely sure true affirmative agreed"
)
_NO: Final = lex.words("no nope incorrect false wrong")
_SAID: Final = frozenset({"not", "never", "no", "long"})
"""What has had its say once the scopes are read."""


@lru_cache(maxsize=1)
def _built_in() -> SimpleAnalyzer:
    return SimpleAnalyzer()


def extract(
    texts: Sequence[str], *, questions: Sequence[bool] | None = None, analyzer: Analyzer | None = None
) -> list[Claim]:
    """What the turns of one conversation claim about people.

    The grammar rather misses a claim than makes a wrong one: advice, goals, conditions, the past and general rules
    claim nothing, and neither do questions, but for those that the next turn answers with yes or no.

    Args:
        texts: The turns, in order; a first one may begin with ``<image>``.
        questions: Which of them are questions; None takes every other one, beginning with the first, if there are
            several, and a single text as a statement.
        analyzer: Of words; None is the built-in one.

    Returns:
        Claims in the order of the text; their offsets count from the beginning of their turn.
    """
    asked = questions if questions is not None else [len(texts) > 1 and turn % 2 == 0 for turn in range(len(texts))]
    words = analyzer or _built_in()
    discourse = Discourse()
    claims: list[Claim] = []
    pending: list[Claim] = []
    counted = False
    for turn, (text, is_question) in enumerate(zip(texts, asked, strict=True)):
        sentences = words.sentences(text.replace(IMAGE_TOKEN, " " * len(IMAGE_TOKEN)))
        if is_question:
            pending = _read_question(turn, text, sentences, discourse)
            counted = _asks_number(sentences)
        else:
            claims += _answered(pending, turn, sentences)
            claims += _number_alone(turn, sentences) if counted else []
            claims += [claim for tokens in sentences for claim in _read(turn, text, tokens, discourse)]
            pending, counted = [], False
    return sorted(
        dict.fromkeys(claims), key=lambda claim: (claim.turn, claim.start, claim.end, claim.name, claim.value)
    )


def _read(turn: int, text: str, tokens: list[Token], discourse: Discourse, *, is_question: bool = False) -> list[Claim]:
    """The claims of one sentence."""
    if tokens[-1].lower == "?" and not is_question:
        return []
    reading = _reading(turn, text, tokens, discourse)
    for find in _FINDERS:
        find(reading)
    if is_question:
        reading.claims = _without_presumed(reading)
    return _without_repeats(_without_wide_denials(reading, _without_choices(reading)))


def _without_presumed(reading: Reading) -> list[Claim]:
    """Of "Is the man who holds the kite kneeling?" what is asked, not what only tells whom is meant."""
    items = reading.sentence.items
    verb = next((index for index, item in enumerate(items) if item.first == 0), 0)
    end = reading.sentence.tokens[items[verb - 1].last - 1].end if verb else 0
    return [claim for claim in reading.claims if claim.end > end]


def _reading(turn: int, text: str, tokens: list[Token], discourse: Discourse) -> Reading:
    sentence = Chunker(text, tokens).read()
    discourse.sentence += 1
    absorb(sentence)
    if tokens[-1].lower == "?":
        _straighten(sentence)
    rewrite(sentence)
    scopes = read_scopes(sentence)
    kept = [index for index, item in enumerate(sentence.items) if item.text not in _SAID]
    sentence.items = [sentence.items[index] for index in kept]
    sentence.render()
    subjects = read_subjects(sentence, discourse)
    return Reading(turn, sentence, discourse, subjects, [scopes[index] for index in kept])


def _straighten(sentence: Sentence) -> None:
    """As in "Is the man upright?" becomes "the man is upright", so that one set of patterns reads both."""
    items = sentence.items
    if len(items) < 3 or items[0].text not in ("be", "do", "have") or not items[1].is_phrase:
        return
    end = what_follows(sentence, 1).end
    if all(item.text in ("in", "IMAGE", "?") for item in items[end + 1 :]):  # what follows is what is asked
        end = next(index for index in range(2, len(items)) if items[index].kind != "place") - 1
    items.insert(end, items.pop(0))


def _without_repeats(claims: list[Claim]) -> list[Claim]:
    """Of a claim that stands within the words of the same claim, the longer one."""
    return [claim for claim in claims if not any(_is_within(claim, other) for other in claims)]


def _is_within(claim: Claim, other: Claim) -> bool:
    same = (claim.name, claim.value, claim.side, claim.entity, claim.negated, claim.other) == (
        other.name, other.value, other.side, other.entity, other.negated, other.other
    )  # fmt: skip
    inside = other.start <= claim.start and claim.end <= other.end
    return same and inside and (claim.start, claim.end) != (other.start, other.end)


def _without_choices(reading: Reading) -> list[Claim]:
    """Leave out what is only one of two: "standing or sitting"."""
    choices = [
        reading.sentence.span(index, index)[0] for index, item in enumerate(reading.sentence.items) if item.text == "or"
    ]
    if not choices:
        return reading.claims
    return [claim for claim in reading.claims if claim.negated or not _is_near(claim, choices)]


def _without_wide_denials(reading: Reading, claims: list[Claim]) -> list[Claim]:
    """As in "not sitting on the bench" denies neither; "not raised above the head" denies only the latter."""
    denied = [claim for claim in claims if claim.negated]
    kept = [claim for claim in claims if not claim.negated]
    for claim in denied:
        rivals = [other for other in denied if other is not claim and _is_one_denial(reading, claim, other)]
        names = {other.name for other in rivals}
        if not rivals or (claim.name.startswith("hand_") and names == {"arm"}):
            kept.append(claim)
    return kept


def _is_one_denial(reading: Reading, claim: Claim, other: Claim) -> bool:
    if (claim.who, claim.start, claim.end) == (other.who, other.start, other.end) and claim.name == other.name:
        return False
    between = reading.sentence.text[min(claim.end, other.end) : max(claim.start, other.start)]
    return not any(mark in f" {between} " for mark in (" and ", " or ", " nor ", ",", ";", " but ", " while "))


def _is_near(claim: Claim, places: list[int]) -> bool:
    return any(claim.start - 40 <= place <= claim.end + 40 for place in places)


# Questions.


def _read_question(turn: int, text: str, sentences: list[list[Token]], discourse: Discourse) -> list[Claim]:
    """What would be claimed by a "yes": nothing, unless the last sentence can be answered so."""
    for tokens in sentences[:-1]:
        _reading(turn, text, tokens, discourse)
    if not sentences:
        return []
    last = sentences[-1]
    claims = _read(turn, text, last, discourse, is_question=True)
    alternatives = any(token.lower == "or" for token in last)
    tagged = len(last) > 3 and last[-2].lower in _TAGS and last[-3].lower == ","
    polar = (last[0].lower in _POLAR or tagged) and last[-1].lower == "?"
    return claims if polar and not alternatives and last[0].lower != "can" else []


def _answered(pending: list[Claim], turn: int, sentences: list[list[Token]]) -> list[Claim]:
    """The claims of a question, as its answer makes them."""
    if not pending or not sentences:
        return []
    first = sentences[0][0]
    if first.lower == "that" and len(sentences[0]) > 2:  # "That's right."
        first = sentences[0][2]
    if first.lower in _NO and len(pending) == 1 and _can_deny(pending[0]):
        return [_moved(pending[0], turn, first, negated=not pending[0].negated)]
    if first.lower in _YES:
        return [_moved(claim, turn, first, negated=claim.negated) for claim in pending]
    return []


def _asks_number(sentences: list[list[Token]]) -> bool:
    """As in "How many people are in the picture?"; not "How many people are sitting?"."""
    lowers = [token.lower for token in sentences[-1]] if sentences else []
    people = next((index for index, lower in enumerate(lowers) if lower in _PEOPLE_WORDS), 0)
    asked = lowers[:people] in _NUMBER_QUESTIONS
    return asked and all(word in _PLAIN_WORDS for word in lowers[people + 1 :])


def _number_alone(turn: int, sentences: list[list[Token]]) -> list[Claim]:
    """The answer "Two.", "There are two.", "A total of two."."""
    words = [token for token in sentences[0] if token.lower[0].isalnum()] if sentences else []
    numbers = [token for token in words if read_number(token.lower) is not None]
    others = {token.lower for token in words if token not in numbers}
    if len(numbers) != 1 or others - _COUNTING:
        return []
    who = Mention(text=numbers[0].lower, quantity="all", head="person")
    value = str(read_number(numbers[0].lower))
    return [Claim(turn, numbers[0].start, numbers[0].end, "person_count", value, who)]


def _can_deny(claim: Claim) -> bool:
    """As in "Is a man standing?" "No" leaves open who is not."""
    return claim.who.quantity in ("one", "all") and not claim.who.text.lower().startswith(("a ", "an "))


def _moved(claim: Claim, turn: int, token: Token, *, negated: bool) -> Claim:
    return msgspec.structs.replace(claim, turn=turn, start=token.start, end=token.end, negated=negated)
