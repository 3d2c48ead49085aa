"""Sentences and tokens."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from kpray.errors import ConfigError
from kpray.quality.grounding.text import SimpleAnalyzer, SpacyAnalyzer, lemma_of


def words(text: str) -> list[list[str]]:
    return [[token.lower for token in sentence] for sentence in SimpleAnalyzer().sentences(text)]


def test_sentences_end_at_marks_and_line_ends() -> None:
    assert words("He sits. Does she?\n\nBoth stand") == [
        ["he", "sits", "."],
        ["does", "she", "?"],
        ["both", "stand"],
    ]


def test_clitics_are_words() -> None:
    assert words("The man’s arm isn't raised; he can't") == [
        ["the", "man", "'s", "arm", "is", "n't", "raised", ";", "he", "can", "n't"]
    ]


def test_offsets_point_at_the_words_as_written() -> None:
    text = "  Isn’t the BOY’s knee bent?  "
    for token in SimpleAnalyzer().sentences(text)[0]:
        assert text[token.start : token.end].lower().replace("’", "'") in (token.lower, "ca")


@pytest.mark.parametrize(
    ("word", "lemma"),
    [
        ("left", "left"),
        ("lying", "lie"),
        ("lays", "lie"),
        ("crossed", "cross"),
        ("raised", "raise"),
        ("bent", "bend"),
        ("seated", "sit"),
        ("sitting", "sit"),
        ("swinging", "swing"),
        ("feet", "foot"),
        ("women", "woman"),
        ("glasses", "glasses"),
    ],
)
def test_lemmas_that_the_grammar_needs(word: str, lemma: str) -> None:
    assert lemma_of(word) == lemma


def test_spacy_that_is_missing_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(ConfigError, match="pip install spacy"):
        SpacyAnalyzer("en_core_web_sm")


def test_a_spacy_model_gives_the_same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """No trained model is at hand: a stand-in with spaCy's attributes."""

    def word(text: str, lemma: str, at: int) -> SimpleNamespace:
        return SimpleNamespace(text=text, lemma_=lemma, idx=at, is_space=text.isspace())

    sentence = [word("Knees", "knee", 0), word(" ", " ", 5), word("bent", "bent", 6)]
    spacy = ModuleType("spacy")
    spacy.load = lambda name: lambda text: SimpleNamespace(sents=[sentence])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spacy", spacy)
    assert SpacyAnalyzer("any").sentences("Knees bent") == SimpleAnalyzer().sentences("Knees bent")


def test_a_spacy_model_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    spacy = ModuleType("spacy")

    def load(name: str) -> None:
        raise OSError(name)

    spacy.load = load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spacy", spacy)
    with pytest.raises(ConfigError, match="spacy download no_such_model"):
        SpacyAnalyzer("no_such_model")
