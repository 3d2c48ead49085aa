"""From a fact, a wording, a frame and a way to name a person to a question and an answer in English."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

HERE = Path(__file__).parent
SETS: Final = ("dev", "heldout")

QUESTIONS: Final = (
    "What is happening in this image?",
    "What do you see in the picture?",
    "Please describe the scene.",
    "Can you tell me something about the picture?",
    "What can be said about this photo?",
)
"""Asked where a frame brings no question of its own."""

NUMBERS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
ORDINALS: Final = ("", "first", "second", "third", "fourth", "fifth", "sixth")

_PRONOUNS: Final = {
    "he": {"he": "he", "his": "his", "himself": "himself"},
    "she": {"he": "she", "his": "her", "himself": "herself"},
    "they": {"he": "they", "his": "their", "himself": "themselves"},
    "everyone": {"he": "they", "his": "their", "himself": "themselves"},
}
_AGREES_WITH_PRONOUN = re.compile(r"\{([Hh]e)\} \{(vp|neg|negc|aux|auxn|harmless)\}")
_OF = re.compile(r"^\{his\} ((?:\{side\} |upper |two )?\w+)")


@dataclass(frozen=True)
class Wording:
    """One way to say a claim: its form (``vp``, ``cl`` ...), how it speaks of sides, and its text."""

    form: str
    sides: str
    negatable: bool
    text: str


@dataclass(frozen=True)
class Frame:
    """A sentence around a wording."""

    group: str
    form: str
    text: str


class Phrases:
    """One of the two halves of the phrase files."""

    def __init__(self, which: str) -> None:
        data = yaml.safe_load((HERE / f"grounding_phrases_{which}.yaml").read_text())
        self.wordings: dict[tuple[str, str], list[Wording]] = {
            (name, value): [_wording(form, text) for entry in entries for form, text in entry.items()]
            for name, values in data["wordings"].items()
            for value, entries in values.items()
        }
        self.frames = [
            Frame(group, form, text)
            for group, entries in data["frames"].items()
            for entry in entries
            for form, text in entry.items()
        ]
        self.people: Mapping[str, list[str]] = data["people"]
        self.filler: Mapping[str, list[str]] = data["filler"]

    def frames_of(self, wording: Wording, groups: set[str] | None = None) -> list[Frame]:
        """Frames that this wording fits into."""
        forms = {wording.form}
        if wording.form == "cl" and _OF.match(wording.text):
            forms.add("of")
        if wording.negatable:
            forms |= {"neg", "yes", "no", "none"}
        if wording.form == "vp":
            forms.add("all")
        return [frame for frame in self.frames if frame.form in forms and (groups is None or frame.group in groups)]


def _wording(form: str, text: str) -> Wording:
    kind, _, sides = form.partition(".")
    return Wording("vp" if kind == "vn" else kind, sides, kind == "vn", text)


def upper_first(text: str) -> str:
    """Capitalize the first letter.

    >>> upper_first("the man")
    'The man'
    """
    return text[:1].upper() + text[1:]


def plural_verb(phrase: str) -> str:
    """A verb phrase of one person for several.

    >>> plural_verb("is sitting"), plural_verb("crouches down"), plural_verb("lies"), plural_verb("carries a cup")
    ('are sitting', 'crouch down', 'lie', 'carry a cup')
    """
    verb, space, rest = phrase.partition(" ")
    return {"is": "are", "has": "have", "can": "can", "isn't": "aren't", "doesn't": "don't", "does": "do"}.get(
        verb, _base(verb)
    ) + (space + rest)


def _base(verb: str) -> str:
    if verb.endswith(("ches", "shes", "sses")):
        return verb[:-2]
    if verb.endswith("ies") and len(verb) > 4:
        return f"{verb[:-3]}y"
    return verb[:-1] if verb.endswith("s") else verb


def infinitive(phrase: str) -> str:
    """A verb phrase after "to".

    >>> infinitive("is sitting"), infinitive("keeps both arms bent")
    ('be sitting', 'keep both arms bent')
    """
    verb, space, rest = phrase.partition(" ")
    return {"is": "be", "has": "have"}.get(verb, _base(verb)) + space + rest


def denied(phrase: str, *, short: bool = False) -> str:
    """A verb phrase with "is" or "has", denied.

    >>> denied("is sitting"), denied("has both knees bent", short=True)
    ('is not sitting', "doesn't have both knees bent")
    """
    verb, _, rest = phrase.partition(" ")
    if verb == "is":
        return f"isn't {rest}" if short else f"is not {rest}"
    return f"doesn't have {rest}" if short else f"does not have {rest}"


def article(noun: str) -> str:
    """A noun with "a" or "an"."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def question_of(phrase: str) -> str:
    """A verb phrase with "is" or "has" as a yes/no question; ``{who}`` stands where the subject goes.

    >>> question_of("is sitting"), question_of("has both knees bent")
    ('Is {who} sitting', 'Does {who} have both knees bent')
    """
    verb, _, rest = phrase.partition(" ")
    return f"Is {{who}} {rest}" if verb == "is" else f"Does {{who}} have {rest}"


class Writer:
    """Fills the slots of one statement."""

    def __init__(self, phrases: Phrases, rng: random.Random) -> None:
        self.phrases, self.rng = phrases, rng

    def turns(self, frame: Frame, wording: Wording, slots: dict[str, str], pronoun: str) -> tuple[str, str]:
        """Question and answer.

        Args:
            frame: Fits `wording`.
            wording: Of the claim.
            slots: ``who`` and ``a_who``, and what the wording needs (``side``, ``the_obj`` ...); for a frame about
                all or none ``all`` or ``none``.
            pronoun: ``he``, ``she``, ``they``, or ``everyone`` for "they" beside verbs in the singular.
        """
        text = self._expand(frame, wording.text, pronoun)
        text = self._fill(text, {**slots, **_PRONOUNS[pronoun]})
        question, bar, answer = text.partition(" | ")
        return (question, answer) if bar else (self.rng.choice(QUESTIONS), text)

    def _expand(self, frame: Frame, text: str, pronoun: str) -> str:
        parts = dict.fromkeys(("vp", "cl", "ab", "pt", "fs", "qa"), text)
        parts["harmless"] = self.rng.choice(self.phrases.filler["harmless"])
        if frame.form in ("neg", "yes", "no"):
            verb = "does" if text.startswith("has") else "is"
            negation = denied(text), denied(text, short=True)
            parts |= {"neg": negation[0], "negc": negation[1], "Q": question_of(text)}
            parts |= {"aux": verb, "auxn": f"{verb}n't"}
        parts |= {"vps": text if pronoun == "everyone" else plural_verb(text), "inf": infinitive(text)}
        parts["of"] = _OF.sub(r"the \1 of {who}", text)
        expanded = _AGREES_WITH_PRONOUN.sub(lambda m: self._after_pronoun(m, parts, pronoun), frame.text)
        expanded = re.sub(r"\{(\w+)\}", lambda m: _part(m.group(1), parts), expanded)
        for filler in ("intro", "tail", "aside"):
            while f"{{{filler}}}" in expanded:
                expanded = expanded.replace(f"{{{filler}}}", self.rng.choice(self.phrases.filler[filler]), 1)
        return expanded

    def _after_pronoun(self, match: re.Match[str], parts: Mapping[str, str], pronoun: str) -> str:
        part = parts[match.group(2)]
        return f"{{{match.group(1)}}} {plural_verb(part) if pronoun == 'they' else part}"

    def _fill(self, text: str, slots: Mapping[str, str]) -> str:
        def fill(match: re.Match[str]) -> str:
            name = match.group(1)
            lower = name[0].lower() + name[1:]
            return upper_first(slots[lower]) if name != lower else slots[lower]

        return re.sub(r"\{(\w+)\}", fill, text)


def _part(name: str, parts: Mapping[str, str]) -> str:
    """A slot of a frame that a wording or a filler fills; other slots stay."""
    lower = name if name == "Q" else name[0].lower() + name[1:]
    if lower not in parts:
        return f"{{{name}}}"
    return _upper_slot(parts[lower]) if name != lower else parts[lower]


def _upper_slot(text: str) -> str:
    """Capitalize a text that may begin with a slot.

    >>> _upper_slot("{his} arm"), _upper_slot("raising")
    ('{His} arm', 'Raising')
    """
    return "{" + text[1].upper() + text[2:] if text.startswith("{") else upper_first(text)


def slot_names(text: str) -> set[str]:
    """Names of all slots in a text, in lower case."""
    return {name[0].lower() + name[1:] for name in re.findall(r"\{(\w+)\}", text)}
