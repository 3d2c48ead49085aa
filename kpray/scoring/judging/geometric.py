"""The embedded judge: geometry and overlap, no model, no network, always the same.

It is for the demonstration and for tests, and its fingerprint says ``geometric`` wherever its scores go. It knows
nothing of language but words: what it likes is an answer whose claims about people fit the keypoints, and that says
what the reference says. Each answer is rated for itself, so the order cannot matter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from kpray.lineage import fingerprint_value
from kpray.pose.vocabulary import PoseCode
from kpray.quality.findings import word_set
from kpray.quality.grounding.ground import ground
from kpray.quality.grounding.text import lemma_of
from kpray.schemas import Scene
from kpray.scoring.types import HIGHEST, LOWEST, Answer, Aspects, JudgeFingerprint, JudgeItem, Question, Verdict

_RULES: Final = 1
"""Raised when the same answer gets another rating, so that old and new scores are not put side by side."""

GEOMETRIC_JUDGE: Final = JudgeFingerprint("geometric", "geometric", fingerprint_value(("geometric judge", _RULES)))

_WORD: Final = re.compile(r"[^\W\d_]+")
_SMALL: Final = word_set(
    """a an the this that these those and or but nor so if then than as of in on at by for with from into onto over
    under up down out off about near to be have do will would can could may might must shall should not no yes it he
    she they him her them his their its who which what where when why how there here i you we me us my your our s t
    one some any all both each very also while image picture photo scene appear seem"""
)
"""Words that carry no content, as lemmas."""

_FREE: Final = (0.5, 2.0)
"""An answer's length in parts of the reference's, within which length costs nothing."""


class _Evidence(msgspec.Struct, frozen=True):
    """What the ratings of one answer rest on.

    Attributes:
        supported: Claims about people that the keypoints bear out.
        contradicted: Claims that they contradict.
        covered: Part of the expected content words that the answer has, 0 to 1.
        to_the_point: Part of the answer's content words that picture, question or reference have, 0 to 1.
        length: 1 for a sensible length, towards 0 for far too short or too long.
    """

    supported: int
    contradicted: int
    covered: float
    to_the_point: float
    length: float


def judge_geometrically(item: JudgeItem, codes: Sequence[PoseCode] | None = None) -> Verdict:
    """Rate the answers of one item.

    Args:
        item: What to judge.
        codes: `kpray.pose.codes.scene_codes` of its scene, where they are known already.
    """
    evidence = [_evidence(item.question, item.scene, answer, codes) for answer in item.answers]
    aspects = tuple(_aspects(found) for found in evidence)
    told = (f"Answer {i}: {_in_words(found)}." for i, found in enumerate(evidence, 1))
    return Verdict(
        question_id=item.question.question_id,
        mode=item.mode,
        models=item.models,
        scores=tuple(_overall(one) for one in aspects),
        judge=GEOMETRIC_JUDGE,
        swapped=item.swapped,
        repeat=item.repeat,
        aspects=aspects,
        explanation=" ".join(told),
    )


def _evidence(question: Question, scene: Scene, answer: Answer, codes: Sequence[PoseCode] | None) -> _Evidence:
    claims = [claim for claim in ground([question.text, answer.text], scene, codes) if claim.turn == 1]
    said = _content(answer.text)
    captions = " ".join(scene.captions)
    expected = _content(question.reference or captions)
    known = expected | _content(f"{question.text} {captions}") | {thing.category for thing in scene.objects}
    return _Evidence(
        supported=sum(claim.verdict == "supported" for claim in claims),
        contradicted=sum(claim.verdict == "contradicted" for claim in claims),
        covered=_share(said & expected, expected),
        to_the_point=_share(said & known, said),
        length=_length_sanity(len(answer.text.split()), len((question.reference or captions).split())),
    )


def _content(text: str) -> frozenset[str]:
    return frozenset(map(lemma_of, _WORD.findall(text.lower()))) - _SMALL


def _share(part: frozenset[str], whole: frozenset[str]) -> float:
    return len(part) / len(whole) if whole else 0.0


def _length_sanity(words: int, expected: int) -> float:
    """How sensible a length is, in words.

    >>> _length_sanity(20, 20), _length_sanity(10, 40), _length_sanity(80, 20), _length_sanity(0, 20)
    (1.0, 0.5, 0.5, 0.0)
    """
    if not words or not expected:
        return float(bool(words))
    low, high = (bound * expected for bound in _FREE)
    return min(1.0, words / low, high / words)


def _aspects(found: _Evidence) -> Aspects:
    """Nothing said is worth 1 in all of them; claims count with one half-right claim before them."""
    if not found.length:
        return Aspects(LOWEST, LOWEST, LOWEST, LOWEST)
    accuracy = (found.supported + 0.5) / (found.supported + found.contradicted + 1)
    return Aspects(
        helpfulness=_on_scale((found.covered + found.length) / 2),
        relevance=_on_scale(found.to_the_point),
        accuracy=_on_scale(accuracy),
        detail=_on_scale(found.covered * found.length),
    )


def _on_scale(share: float) -> float:
    """A share of 0 to 1 in half points."""
    return round(2 * (LOWEST + share * (HIGHEST - LOWEST))) / 2


def _overall(aspects: Aspects) -> float:
    """The mean in half points, accuracy counting twice."""
    total = aspects.helpfulness + aspects.relevance + 2 * aspects.accuracy + aspects.detail
    return round(2 * total / 5) / 2


def _in_words(found: _Evidence) -> str:
    if not found.length:
        return "it says nothing"
    length = "its length is sensible" if found.length == 1.0 else f"its length is {found.length:.0%} sensible"
    return (
        f"the keypoints support {found.supported} of its claims about people and contradict {found.contradicted}; "
        f"it has {found.covered:.0%} of the expected words, and {found.to_the_point:.0%} of its own are to the point; "
        f"{length}"
    )
