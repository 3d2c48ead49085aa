"""A light reading of captions: who does what, and a wording that can stand in a text.

Captions are noisy. What this grammar does not understand is not used, and neither is a caption that
contradicts the pose codes or names another number of people.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from kpray.teachers.geometric.english import number_value, with_article
from kpray.teachers.geometric.wording import lexicon

_MALE: Final = {"man": "man", "guy": "man", "gentleman": "man", "male": "man", "boy": "boy"}
_FEMALE: Final = {"woman": "woman", "lady": "woman", "female": "woman", "girl": "girl"}
_SINGULAR: Final = lexicon("singular")
_PLURAL: Final = lexicon("plural")
_COLLECTIVE: Final = lexicon("collective")
_ROLES: Final = lexicon("role")
_SPECIFIC_PLURALS: Final = {"men": "man", "boys": "boy", "women": "woman", "girls": "girl"}

_GERUNDS: Final = {
    **{"rides": "riding", "stands": "standing", "sits": "sitting", "holds": "holding", "plays": "playing"},
    **{"walks": "walking", "swings": "swinging", "hits": "hitting", "jumps": "jumping", "skis": "skiing"},
    **{"eats": "eating", "looks": "looking", "catches": "catching", "throws": "throwing", "wears": "wearing"},
    **{"skateboards": "skateboarding", "surfs": "surfing", "poses": "posing", "reaches": "reaching"},
    **{"talks": "talking", "works": "working", "leans": "leaning", "uses": "using", "does": "doing"},
    **{"takes": "taking", "makes": "making", "cuts": "cutting", "carries": "carrying", "runs": "running"},
    **{"prepares": "preparing", "performs": "performing", "watches": "watching", "gets": "getting"},
    **{"flies": "flying", "kicks": "kicking", "drinks": "drinking", "reads": "reading", "feeds": "feeding"},
}
_AUXILIARIES: Final = frozenset({"is", "are"})
_BASES: Final = lexicon("base")
_PREPOSITIONS: Final = lexicon("preposition")
_PARTICIPLES: Final = lexicon("participle")
_NOT_PARTICIPLES: Final = lexicon("not participle")
_DETERMINERS: Final = lexicon("determiner")
_VERBS: Final = _AUXILIARIES | _BASES | _GERUNDS.keys()
_NOT_BEFORE_VERBS: Final = lexicon("not before verb")
_STATIVE: Final = frozenset({"being", "having", "showing", "appearing", "seeming", "wearing"})

_UNSAFE: Final = re.compile(
    r"\b(left|right|keypoints?|coordinates?|captions?|annotat\w*|pixels?|bounding|visib\w*|his's|unknown|blurry|"
    r"photos?|photograph\w*|picture[sd]?|images?|shot|view|selfie|camera|black and white|screen ?shot|he|she|it's|"
    r"himself|herself|there)\b"
)
_POSTURES: Final = {
    "standing": re.compile(r"\b(sit(s|ting)?|seated|l(ie|ies|ying)|lay(s|ing)?|kneel\w*|crouch\w*|squat\w*)\b"),
    "sitting": re.compile(r"\b(stand(s|ing)?|l(ie|ies|ying)|lay(s|ing)?|kneel\w*|crouch\w*|squat\w*|walk\w*|run\w*)\b"),
    "crouching": re.compile(r"\b(sit(s|ting)?|seated|stand(s|ing)?|l(ie|ies|ying)|lay(s|ing)?|kneel\w*|walk\w*)\b"),
    "kneeling": re.compile(r"\b(sit(s|ting)?|seated|stand(s|ing)?|l(ie|ies|ying)|lay(s|ing)?|squat\w*|walk\w*)\b"),
    "lying": re.compile(r"\b(sit(s|ting)?|seated|stand(s|ing)?|kneel\w*|crouch\w*|squat\w*|walk\w*|run\w*)\b"),
}
"""Words of a caption that cannot be true of a lone person of this posture."""


@dataclass(frozen=True)
class Caption:
    """One caption that was understood.

    Attributes:
        text: In lower case except for names, without a closing mark.
        clause: Whether it is a clause ("a man is riding a wave"); else a noun phrase.
        subject: Head noun of its subject, in lower case.
        plural: Whether the subject is several people.
        count: The number of people that the subject names, if it does.
        activity: What the subject does, as a participle phrase; empty if that is not plain.
    """

    text: str
    clause: bool
    subject: str
    plural: bool
    count: int | None
    activity: str


@functools.lru_cache(maxsize=256)  # the kinds of one scene read the same captions
def read_caption(caption: str) -> Caption | None:
    """Understand one caption, or not.

    >>> read_caption("A man riding  a wave on top of a surfboard.").activity
    'riding a wave on top of a surfboard'
    >>> read_caption("There are two people playing frisbee in a park .").count
    2
    >>> read_caption("A blue bus drives by") is None
    True
    """
    text = _tidy(caption)
    tokens = text.lower().split()
    if not 4 <= len(tokens) <= 18 or not _SPEAKABLE.fullmatch(text) or _UNSAFE.search(text.lower()):
        return None
    if sum(token in _AUXILIARIES for token in tokens) > 1:
        return None
    end = _subject_end(tokens)
    head = _head_noun(tokens[:end]) if end is not None else None
    if end is None or head is None:
        return Caption(text, False, "", False, None, "") if _is_plain_phrase(tokens) else None
    plural, verb = head in _PLURAL, tokens[end]
    if not plural and text.startswith("the "):
        text = with_article(text.removeprefix("the "))
    clause = verb in _VERBS
    if not clause:
        later = _later_verb(tokens[end:])
        if later in _BASES and (plural or verb in _PREPOSITIONS):
            return None
        clause = later is not None and later not in _BASES
    return Caption(text, clause, head, plural, _count(tokens, head), _activity(text.split()[end:]))


def _later_verb(tokens: Sequence[str]) -> str | None:
    """A finite verb that follows what stands behind the subject: "a man in a hat is reading"."""
    return next((t for before, t in pairwise(tokens) if t in _VERBS and not _before_noun(before)), None)


def _before_noun(word: str) -> bool:
    """Whether what follows is a noun even if it looks like a verb: "on skis", "wearing skis"."""
    return word in _NOT_BEFORE_VERBS or word in _PREPOSITIONS or _is_participle(word)


_SPEAKABLE: Final = re.compile(r"[A-Za-z][A-Za-z' ,\-]*[A-Za-z]")


def _tidy(caption: str) -> str:
    text = re.sub(r"\s+", " ", caption).strip(" .!\"'").replace(" ,", ",")
    if sum(map(str.isupper, text)) > len(text) / 2:
        text = text.lower()
    text = re.sub(r"(?i)\b(\w+)( \1\b)+", r"\1", text)
    text = re.sub(r"(?i)^there (is|are|'s) ", "", text)
    text = re.sub(r"\b([Aa]) (?=[aeiou])(?!uni|use|one\b|eu)", r"\1n ", text)
    text = re.sub(r"\b([Aa])n (?=[b-df-gj-np-tv-z])", r"\1 ", text)
    return text[:1].lower() + text[1:]


def _subject_end(tokens: Sequence[str]) -> int | None:
    """Index of the first word after the subject; None if the subject is not plainly a person or people."""
    if tokens[0] not in _DETERMINERS and tokens[0] not in _PLURAL - _COLLECTIVE:
        return None
    for index, token in enumerate(tokens[:8]):
        if token in _SINGULAR or token in _PLURAL:
            following = tokens[index + 1] if index + 1 < len(tokens) else ""
            if following in _SINGULAR or following in _PLURAL or following == "of":
                continue
            return index + 1 if _ends_subject(following, plural=token in _PLURAL) else None
        if index and (token in _DETERMINERS or token in _PREPOSITIONS or token in ("and", "is", "are")):
            return None
    return None


def _is_plain_phrase(tokens: Sequence[str]) -> bool:
    """Whether this is plainly a noun phrase about anything: "a small dog catching a frisbee"."""
    if tokens[0] not in _DETERMINERS or _FINITE & set(tokens):
        return False
    start = next((i for i, t in enumerate(tokens[2:6], 2) if t in _PREPOSITIONS or _is_participle(t)), None)
    if start is None or any(t in _PLURAL or t in _SINGULAR for t in tokens[:start]):
        return False
    ends_in_s = tokens[start - 1].endswith("s") and not tokens[start - 1].endswith("ss")
    return not set(tokens[1:start]) & _DETERMINERS and ends_in_s == (tokens[0] not in ("a", "an", "the", "one"))


_FINITE: Final = frozenset({"is", "are", "has", "have", "was", "were", "can", "that", "and"})


def _is_participle(word: str) -> bool:
    return word.endswith("ing") and len(word) > 4 and word not in _NOT_PARTICIPLES


def _ends_subject(word: str, *, plural: bool) -> bool:
    finite = word in _BASES if plural else word in _GERUNDS
    return _is_participle(word) or finite or word in _AUXILIARIES or word in _PREPOSITIONS or word in _PARTICIPLES


def _head_noun(subject: Sequence[str]) -> str | None:
    """The noun that says who; for "a group of men" the men, for "a tennis player" the player."""
    if len(subject) > 7:
        return None
    return next((t for t in reversed(subject) if t in _SINGULAR or t in _PLURAL), None)


def _count(tokens: Sequence[str], head: str) -> int | None:
    if tokens[0] in ("a", "an", "the") and head in _SINGULAR:
        return 1
    if tokens[:2] == ["a", "couple"] or head in ("couple", "pair"):
        return 2
    return number_value(tokens[0])


def _activity(words: Sequence[str]) -> str:
    """The participle phrase at the head of these words, without what hangs on behind."""
    first = words[0].lower()
    rest = words[1:] if first in _AUXILIARIES else words
    if not rest:
        return ""
    start = _GERUNDS.get(rest[0].lower(), rest[0])
    if not start.endswith("ing") or start in _NOT_PARTICIPLES or start in _STATIVE:
        return ""
    phrase = " ".join([start, *rest[1:]])
    return _TAIL.sub("", phrase) if " between " not in phrase else phrase


_TAIL: Final = re.compile(r"(,| (while|as|that|which|who|where|is|are|has|have|because|so|but)\b).*$")


def usable(captions: Iterable[str], *, count: int | None, posture: str) -> list[Caption]:
    """Captions that were understood and agree with the codes, the most agreed on first.

    Args:
        captions: As annotated.
        count: How many people there are, if that is known.
        posture: The posture of a lone person; empty if not known or several people.
    """
    captions = list(captions)
    conflict = _POSTURES.get(posture)
    found = [
        c
        for text in captions
        if (c := read_caption(text)) is not None
        and _count_fits(c, count)
        and not (conflict and conflict.search(c.text.lower()))
    ]
    common = Counter(word for text in captions for word in set(_words(text)))
    return sorted(found, key=lambda c: -_agreement(c.text, common))


def _count_fits(caption: Caption, count: int | None) -> bool:
    if count is None:
        return True
    if not caption.subject:
        return not _NUMBERED.search(caption.text.lower())
    if caption.count == count and mentions_people(caption.activity):
        return False  # "a man next to a woman" where one person is annotated
    if caption.plural:
        return count > 1 and caption.count in (None, count)
    return True


_NUMBERED: Final = re.compile(r"\b(people|persons?|men|women|boys|girls|children|kids|players)\b")
"""People other than the subject, whose number might not agree."""


def mentions_people(activity: str) -> bool:
    """Whether an activity names people, who may be among those that the subject seemed to count.

    >>> mentions_people("walking past a homeless man"), mentions_people("riding horses")
    (True, False)
    """
    return any(word in _SINGULAR or word in _PLURAL for word in activity.lower().split())


def _words(text: str) -> list[str]:
    return [w for w in re.findall(r"[a-z]+", text.lower()) if len(w) > 3 or w == "man"]


def _agreement(text: str, common: Counter[str]) -> float:
    words = set(_words(text))
    return sum(common[w] - 1 for w in words) / (4 + len(words))


def tells_more(caption: Caption, text: str) -> bool:
    """Whether a caption says something that the text does not say yet: at least half of its words are new."""
    words = set(_words(caption.text))
    return 2 * len(words & set(_words(text))) <= len(words)


def lone_noun(captions: Sequence[str]) -> tuple[str, str]:
    """What to call the only person of a picture, and "he", "she" or "they".

    Returns:
        A noun on which at least two captions and a clear majority agree, else "person" and "they".
    """
    words = [w for text in captions for w in set(re.findall(r"[a-z]+", text.lower()))]
    males = Counter(_MALE[w] for w in words if w in _MALE)
    females = Counter(_FEMALE[w] for w in words if w in _FEMALE)
    if any(w in _SPECIFIC_PLURALS for w in words) or (males and females):
        return "person", "they"
    for nouns, pronoun in ((males, "he"), (females, "she")):
        if nouns.total() >= 2:
            noun, times = nouns.most_common(1)[0]
            return (noun if times > 0.7 * nouns.total() else "person"), pronoun
    return "person", "they"


def lone_role(captions: Sequence[str]) -> str:
    """A role such as "surfer" on which at least two captions agree; empty if there is none."""
    roles = Counter(w for text in captions for w in set(re.findall(r"[a-z]+", text.lower())) if w in _ROLES)
    return next((role for role, times in roles.most_common(1) if times >= 2), "")
