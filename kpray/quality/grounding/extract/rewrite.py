"""Other ways to say the same, turned into the one that the grammar reads.

``rewrites.yaml`` has rules over a rendered sentence: nominalisations become verbs ("there is a bend in his left
elbow"), idioms plain words ("takes a seat"). What no table can say is done here: clefts ("it is the left arm that is
raised") and fronted predicates ("raised high is his left arm") get the order of plain sentences.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import yaml

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item, Sentence

_BREAKS: Final = lex.words(", ; : . ! ? – — -- that because as and but while whereas where since so ( )")
_LINKING: Final = lex.words(
    "be rest go hang stand sit lie crouch kneel squat lean perch hover stretch point extend dangle come remain recline"
)
_NO_OPENING: Final = lex.words("there it this these those what who which not do have can if when")
_DENIALS: Final = ("no", "hardly any", "barely any", "little")
_NOMINAL: Final = re.compile(
    r"bend|bent|flex|crook|extension|straightness|rais|lift|elevat|lower|cross|fold|clasp|join|plac|position|lean|tilt"
    r"|slant|inclin|bow|angle|diagonal|seat|rear|back|front|grip|hold|grasp|clutch|possession|contact|proximity|vicinity"
    r"|neighbo|spot|under|beneath|below|support|FLANK|TORSO|BARE|_side"
)
"""One of these stands in whatever a rule without a narrower trigger finds; looked for once, because rules are many."""

_NOT_IN_NAMES: Final = re.compile(r"[^a-z]")


class _Rule(NamedTuple):
    trigger: str
    words: re.Pattern[str]
    into: tuple[str, ...]


@lru_cache(maxsize=1)
def _rules() -> tuple[_Rule, ...]:
    data: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("rewrites.yaml").read_text(encoding="utf-8"))
    found = []
    for row in data["rules"]:
        words = row["words"]
        for name, text in data["macros"].items():
            words = words.replace("{" + name + "}", text)
        found.append(_Rule(row.get("if", ""), re.compile(rf"(?<= )(?:{words})(?= )"), tuple(row["into"].split())))
    return tuple(found)


def rewrite(sentence: Sentence) -> None:
    """Bring the items of a sentence into plain form."""
    _join_both(sentence.items)
    _uncleave(sentence)
    _unfront(sentence)
    line, starts = _line(sentence)
    nominal = _NOMINAL.search(line) is not None
    for rule in _rules():
        if rule.trigger not in line or (rule.trigger in ("", "T_") and not nominal):
            continue
        for _ in range(3):
            match = rule.words.search(line)
            if match is None:
                break
            _replace(sentence, rule, match, starts)
            line, starts = _line(sentence)


def _line(sentence: Sentence) -> tuple[str, list[int]]:
    """The sentence with the nouns and adjectives of its things, and where each item begins."""
    position, starts, names = 1, [], []
    for item in sentence.items:
        name = _name(item)
        starts.append(position)
        names.append(name)
        position += len(name) + 1
    return " " + " ".join(names) + " ", starts


def _name(item: Item) -> str:
    if item.kind != "thing" or item.text != "T":
        return item.text
    return "_".join(("T", *(_NOT_IN_NAMES.sub("", word) for word in (*item.words, item.head))))


def _replace(sentence: Sentence, rule: _Rule, match: re.Match[str], starts: list[int]) -> None:
    """Put the rule's words in place of what it found; ``$1`` keeps the items of a group."""
    items = sentence.items
    first, last = _range(match, 0, starts)
    old = items[first:last]
    made: list[Item] = []
    for word in rule.into:
        if word.startswith("$"):
            group = int(word[1:])
            if match[group]:
                made += items[slice(*_range(match, group, starts))]
        else:
            made.append(Item("word", word, old[0].first, old[-1].last))
    if any(item.kind == "thing" and item.det in _DENIALS and item not in made for item in old):
        place = next((index for index, item in enumerate(made) if item.text == "be"), -1) + 1
        made.insert(place, Item("word", "not", old[0].first, old[0].last))
    items[first:last] = made


def _range(match: re.Match[str], group: int, starts: list[int]) -> tuple[int, int]:
    start, end = match.span(group)
    inside = [index for index, at in enumerate(starts) if start <= at < end]
    return inside[0], inside[-1] + 1


def _join_both(items: list[Item]) -> None:
    """As in "his arms both hang", "they both sit": the word belongs to what is before it."""
    for index in range(len(items) - 1, 0, -1):
        before = items[index - 1]
        if (
            items[index].kind == "bare"
            and items[index].det in ("both", "all", "each")
            and before.is_phrase
            and before.plural
        ):
            if before.kind == "part":
                before.side = before.side or "both"
            del items[index]


# Clefts.


def _uncleave(sentence: Sentence) -> None:
    """As in "It is the left arm that is raised", "it is next to the dog that he sits"; "what he holds is a cup"."""
    items = sentence.items
    for start in _segment_starts(items):
        texts = [item.text for item in items[start : start + 2]]
        if texts == ["it", "be"]:
            _cleft(items, start)
        elif texts[:1] == ["what"] and len(items) > start + 2 and items[start + 1].is_phrase:
            _pseudo_cleft(items, start)
    what = next((index for index, item in enumerate(items) if item.text == "what"), 0)
    if what > 1 and items[what - 1].text == "be" and what + 1 < len(items) and items[what + 1].is_phrase:
        start = max(begin for begin in _segment_starts(items) if begin < what)
        end = _segment_end(items, what + 1)
        items[start:end] = [*items[what + 1 : end], *items[start : what - 1]]


def _cleft(items: list[Item], start: int) -> None:
    that = next(
        (i for i in range(start + 3, min(start + 9, len(items))) if items[i].text in ("that", "who", "which")), None
    )
    if that is None or not any(item.kind != "word" for item in items[start + 2 : that]):
        return
    focus = items[start + 2 : that]
    if focus[0].text in ("IMAGE", "not") or (focus[0].kind == "thing" and focus[0].head in lex.IMAGE):
        return
    end = _segment_end(items, that + 1)
    rest = items[that + 1 : end]
    subject_first = bool(rest) and not rest[0].is_phrase and rest[0].text not in ("we", "you", "one", "i", "BARE")
    items[start:end] = [*focus, *rest] if subject_first else [*rest, *focus]


def _pseudo_cleft(items: list[Item], start: int) -> None:
    end = _segment_end(items, start + 1)
    be = next((i for i in range(start + 2, end) if items[i].text == "be"), None)
    if be is not None and be + 1 < end and items[be + 1].is_phrase:
        items[start:end] = [*items[start + 1 : be], *items[be + 1 : end]]


# Fronted predicates.


def _unfront(sentence: Sentence) -> None:
    """As in "On his hip rests the left hand", "Seated in the picture is the man", "here stands a woman"."""
    items = sentence.items
    if items and items[-1].text == "?":
        return
    for start in _segment_starts(items):
        verb = _fronted_verb(sentence, start)
        if verb is None:
            continue
        end = verb + 2
        while end + 1 < len(items) and items[end].text == "of" and items[end + 1].is_phrase:
            end += 2
        if end < len(items) and items[end].text not in _BREAKS and items[end].text not in ("with", "who"):
            continue
        items[start:end] = [*items[verb + 1 : end], items[verb], *items[start:verb]]


def _fronted_verb(sentence: Sentence, start: int) -> int | None:
    """Index of the verb behind which the subject stands, if this part of the sentence begins with its predicate."""
    items = sentence.items
    if start >= len(items) or not _can_open(sentence, start):
        return None
    for index in range(start + 1, min(start + 8, len(items) - 1)):
        item = items[index]
        if item.text in _BREAKS:
            return None
        if item.kind == "word" and item.text in _LINKING and _is_finite(sentence, item) and items[index + 1].is_phrase:
            counted = item.text in ("be", "stand", "sit") and _is_place_only(items[start:index])
            return None if items[index + 1].text == "IMAGE" or counted else index
        if item.is_phrase and not _is_governed(items[index - 1]):
            return None
    return None


def _can_open(sentence: Sentence, start: int) -> bool:
    item = sentence.items[start]
    if item.kind == "place":
        return True
    return item.kind == "word" and item.text not in _NO_OPENING and item.text not in lex.PRONOUNS


def _is_place_only(items: list[Item]) -> bool:
    """As in "In the picture are three people": that counts them."""
    return all(item.kind == "place" or item.text in ("in", "on", "at", "IMAGE", "within") for item in items)


def _is_governed(before: Item) -> bool:
    return before.kind == "beside_of" or (
        before.kind == "word"
        and (before.text in lex.PREPOSITIONS or before.text in lex.VERBS or before.text in ("next", "close"))
    )


def _is_finite(sentence: Sentence, item: Item) -> bool:
    lower = sentence.tokens[item.first].lower
    return lower in ("is", "are") or (lower.endswith("s") and lower != item.text)


def _segment_starts(items: list[Item]) -> list[int]:
    return [0, *(index + 1 for index, item in enumerate(items[:-1]) if item.text in _BREAKS)]


def _segment_end(items: list[Item], start: int) -> int:
    return next((i for i in range(start, len(items)) if items[i].text in _BREAKS - {"that", "as"}), len(items))
