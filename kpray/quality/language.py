"""Whether a text is English: function words first, and a dictionary where they leave doubt.

English is recognised by the small words that no sentence does without. Sentences with few of them, such as
"Yes, three." or a list of names, are looked up in simplemma's dictionary of word forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from simplemma import in_target_language

from kpray.quality.findings import Found, quoted, sentences, word_set

_ENGLISH: Final = word_set(
    """the a an and or but of to in on at by for with from into over under above below behind beside between near
    is are was were be been being has have had does do did can could will would may might must should not no yes
    he she it they them him his her hers its their who which that this these those there here what where when why how
    one two three both each other another while as if than then so very up down out left right"""
)
_ELSEWHERE: Final = word_set(
    """der die das den dem des ein eine einer einem einen und oder ist sind auf mit nicht sich ja nein ihr ihre sein
    el los las un una unos del y es está están con por para su sus sí hay de en lo que
    le la les du des une et est sont dans avec sur sa son ses ne pas qui au aux oui il elle
    il lo gli uno una di da e è sono con per non che nel nella della sul su
    o os um uma do da dos das em no na ao com está são seu sua não sim
    het een van en op zijn niet met hij zij aan zit naar
    och att är på som med en ett det den av inte till han hon i
    i w na z się jest do nie że ve bir bu ile"""
) - word_set("on no do in at as is son die den met van to so")
"""Small words of German, Spanish, French, Italian, Portuguese, Dutch, Swedish, Polish and Turkish."""

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_LATIN_END: Final = "\u024f"
_DICTIONARY_SHARE: Final = 0.5
_JUDGED_WORDS: Final = 5
"""Shorter sentences in Latin letters may be a name, and are left alone unless a small word speaks."""


def foreign_parts(text: str) -> Iterator[Found]:
    """The sentences that are not English."""
    for sentence in sentences(text):
        if not is_english(sentence.group()):
            detail = f"says {quoted(sentence.group())}, which is not English; write English"
            yield Found("wrong_language", sentence.start(), sentence.end(), detail)


def is_english(sentence: str) -> bool:
    """Whether one sentence is English, or too short to tell.

    >>> is_english("Yes, three."), is_english("Ja, drei Personen."), is_english("Tai chi near a café.")
    (True, False, True)
    """
    words = _WORD.findall(sentence.lower())
    if not words:
        return True
    if 2 * sum(word[0] > _LATIN_END for word in words) >= len(words):
        return False
    english = sum(word in _ENGLISH for word in words)
    elsewhere = sum(word in _ELSEWHERE for word in words)
    if english > elsewhere and 4 * english >= len(words):
        return True
    if len(words) < _JUDGED_WORDS:
        return elsewhere <= english
    if elsewhere >= 2 and elsewhere > 2 * english:
        return False
    return in_target_language(sentence, lang="en") >= _DICTIONARY_SHARE
