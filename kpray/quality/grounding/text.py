"""Text into sentences of tokens, each with its lemma.

The default analyzer is a tokenizer and a dictionary of English lemmas (simplemma); it downloads nothing and knows no
parts of speech. `SpacyAnalyzer` reads the same tokens from a spaCy model that the user has.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Protocol

import simplemma
from simplemma.tokenizer import RegexTokenizer

from kpray.errors import ConfigError


class Token(NamedTuple):
    """One word or punctuation mark.

    Attributes:
        lower: As written, in lower case and with straight apostrophes.
        lemma: Its dictionary form.
        start: In characters of the text.
        end: Likewise, exclusive.
    """

    lower: str
    lemma: str
    start: int
    end: int


class Analyzer(Protocol):
    """What the extractor needs of a language library."""

    def sentences(self, text: str) -> list[list[Token]]:
        """Sentences in the order of the text, none of them empty; tokens do not overlap."""
        ...


LEMMAS: Final = {
    # Participles that the dictionary has as words of their own.
    "bent": "bend",
    "seated": "sit",
    "sitting": "sit",
    "seating": "seating",
    "outstretched": "outstretched",
    "outspread": "outspread",
    "crossed": "cross",
    "raised": "raise",
    "folding": "fold",
    "closing": "close",
    "crooked": "crook",
    "nestling": "nestle",
    "doubling": "double",
    "outflung": "outstretch",
    "laid": "lie",
    "remains": "remain",
    "leftward": "left",
    "leftwards": "left",
    "rightward": "right",
    "rightwards": "right",
    "upraised": "raise",
    "uplifted": "raise",
    # Lay is a verb of its own, but who writes "lays on the bed" means lie.
    "lay": "lie",
    "lays": "lie",
    "laying": "lie",
    "lying": "lie",
    # Words that are not what the dictionary takes them for.
    "left": "left",
    "him": "him",
    "us": "us",
    "me": "me",
    "them": "them",
    "leaning": "lean",
    "leaned": "lean",
    "leant": "lean",
    "feet": "foot",
    "children": "child",
    "people": "people",
    "glasses": "glasses",
    "crosses": "cross",
    "crossing": "cross",
    "swinging": "swing",
    "hanging": "hang",
    "racquet": "racket",
    "racquets": "racket",
    "skis": "ski",
    "'s": "'s",
    "n't": "not",
    "'re": "be",
    "'m": "be",
    "'ve": "have",
    "'ll": "will",
    "'d": "would",
    "is": "be",
    "are": "be",
    "was": "be",
    "were": "be",
    "has": "have",
    "clothes": "clothes",
}
"""Where the dictionary's lemma is not the one that the grammar wants."""

_CLITICS: Final = ("n't", "'s", "'re", "'ve", "'ll", "'m", "'d")
_BEFORE_IS: Final = frozenset({"there", "here", "it", "that", "he", "she", "what", "who"})
"""Words after which "'s" is "is", not a possessive."""

_ENDS: Final = frozenset({".", "!", "?", "...", "…", "!!", "??", "..", "?!"})


def lemma_of(word: str) -> str:
    """Lemma of a lower-case English word.

    >>> lemma_of("seated"), lemma_of("women"), lemma_of("left")
    ('sit', 'woman', 'left')
    """
    return LEMMAS.get(word) or simplemma.lemmatize(word, lang="en").lower()


@functools.lru_cache(maxsize=50_000)
def _parts(piece: str) -> tuple[tuple[str, str, int, int], ...]:
    """A token without its clitics, and they: (lower, lemma, start, end) within the piece."""
    lower = piece.lower().replace("’", "'")
    if len(lower) != len(piece):
        lower = piece
    for clitic in _CLITICS:
        if lower.endswith(clitic) and len(lower) > len(clitic):
            cut = len(lower) - len(clitic)
            stem = {"ca": "can", "wo": "will"}.get(lower[:cut], lower[:cut])
            lemma = "be" if clitic == "'s" and stem in _BEFORE_IS else lemma_of(clitic)
            return ((stem, lemma_of(stem), 0, cut), (clitic, lemma, cut, len(piece)))
    return ((lower, lemma_of(lower) if lower else lower, 0, len(piece)),)


class SimpleAnalyzer:
    """simplemma's tokenizer and lemmas; sentences end at full stops, question and exclamation marks and line ends."""

    def __init__(self) -> None:
        self._tokenizer = RegexTokenizer()

    def sentences(self, text: str) -> list[list[Token]]:
        """See `Analyzer`."""
        found: list[list[Token]] = []
        current: list[Token] = []
        for token, on_new_line in self._tokens(text):
            if on_new_line and current:
                found.append(current)
                current = []
            current.append(token)
            if token.lower in _ENDS:
                found.append(current)
                current = []
        return [*found, current] if current else found

    def _tokens(self, text: str) -> Iterator[tuple[Token, bool]]:
        """Tokens, and whether a line ended before each."""
        at = 0
        for piece in self._tokenizer.split_text(text):
            start = text.find(piece, at)
            new_line = "\n" in text[at:start]
            at = start + len(piece)
            for lower, lemma, first, last in _parts(piece):
                yield Token(lower, lemma, start + first, start + last), new_line and first == 0


class SpacyAnalyzer:
    """A spaCy model that is installed on this machine; nothing is downloaded.

    Args:
        model: Name or path, as for ``spacy.load`` ("en_core_web_sm"). It must set lemmas and sentences.

    Raises:
        ConfigError: spaCy or the model is missing.
    """

    def __init__(self, model: str) -> None:
        self._nlp = _load_spacy(model)

    def sentences(self, text: str) -> list[list[Token]]:
        """See `Analyzer`; the overrides of `LEMMAS` hold here too."""
        tokens = (_from_spacy(sentence) for sentence in self._nlp(text).sents)
        return [sentence for sentence in tokens if sentence]


def _load_spacy(model: str) -> Any:
    try:
        import spacy
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the analyzer spacy:{model} needs spaCy, which is not installed. "
            "Install it (pip install spacy) or use the built-in analyzer."
        ) from error
    try:
        return spacy.load(model)
    except OSError as error:
        raise ConfigError(
            f"spaCy has no model {model!r} here. Install it (python -m spacy download {model}) "
            "or use the built-in analyzer."
        ) from error


def _from_spacy(sentence: Any) -> list[Token]:
    tokens = []
    for word in sentence:
        lower = word.text.lower().replace("’", "'")
        if not word.is_space:
            lemma = LEMMAS.get(lower) or (word.lemma_ or lower).lower()
            tokens.append(Token(lower, lemma, word.idx, word.idx + len(word.text)))
    return tokens
