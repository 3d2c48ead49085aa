"""Who is meant: mentions of people, and which of them are the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from kpray.quality.grounding.claims import Mention
from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item, Sentence

Quantity = Literal["one", "all", "some", "none"]
Place = Literal["", "image_left", "image_right", "middle", "foreground", "background"]

_BEING: Final = ("be", "stand", "sit")
_PLACES: Final[dict[str, Place]] = {
    "image_left": "image_left",
    "left": "image_left",
    "left-hand": "image_left",
    "right-hand": "image_right",
    "leftmost": "image_left",
    "image_right": "image_right",
    "right": "image_right",
    "rightmost": "image_right",
    "middle": "middle",
    "center": "middle",
    "centre": "middle",
    "foreground": "foreground",
    "background": "background",
}
_HAVING: Final = ("wear", "hold", "carry", "have", "grip", "grasp", "clutch", "use")
_SEEN: Final = ("see", "show", "picture", "visible", "locate", "position", "situate", "place", "find", "capture")
_ARTICLE_WORDS: Final = ("the", "this", "that", "these", "those", "both", "all")
_EACH: Final = lex.words("each every everyone everybody nobody no none neither one someone somebody")
_EMPTY_WORDS: Final = lex.words(
    """
    main only single lone sole visible one two three four five first second third fourth fifth last other
    pictured same various several central person own very left right middle center centre leftmost rightmost
    """
)


@dataclass(slots=True)
class Known:
    """Someone, or some people, of whom the conversation has spoken."""

    entity: int
    mention: Mention
    gender: str
    plural: bool
    sentence: int
    subject: bool


@dataclass(slots=True)
class Discourse:
    """Whom the conversation has spoken of, in the order of their last mention."""

    known: list[Known] = field(default_factory=list)
    sentence: int = 0
    entities: int = 0

    def introduce(self, item: Item, mention: Mention) -> None:
        """A noun phrase: the same as before, if it certainly is, or somebody new."""
        same = self._same(item, mention)
        gender = lex.GENDER.get(mention.head, "any")
        if same:
            self.known.remove(same)
            gender = same.gender if gender == "any" else gender
            mention = _with_more(mention, same.mention)
        entity = same.entity if same else self._new()
        item.mention, item.entity = mention, entity
        self.known.append(Known(entity, mention, gender, item.plural, self.sentence, False))

    def _new(self) -> int:
        self.entities += 1
        return self.entities - 1

    def _same(self, item: Item, mention: Mention) -> Known | None:
        """The one whom a definite phrase takes up; nobody where two fit."""
        det = item.det.split()
        if not det or det[0] not in _ARTICLE_WORDS or mention.quantity not in ("one", "all") or mention.other:
            return None
        fits = [known for known in self.known if _fits(known, item, mention)]
        return fits[-1] if len(fits) == 1 else None

    def note_subject(self, item: Item) -> None:
        """A later pronoun rather means this one."""
        for known in self.known:
            if known.entity == item.entity:
                known.subject, known.sentence = True, self.sentence

    def refer(self, pronoun: str, preferred: Iterable[Item], span_text: str) -> tuple[Mention, int]:
        """Whom a pronoun means.

        Args:
            pronoun: In lower case.
            preferred: People of the same clause, the likeliest first.
            span_text: The pronoun as written.
        """
        gender = lex.PRONOUN_GENDER.get(pronoun, "any")
        for item in preferred:
            if item.mention and _means_each(item):
                return msgspec.structs.replace(item.mention, text=span_text), item.entity
            if item.mention and item.entity >= 0 and _agrees(item.mention.head, gender, item.plural):
                return msgspec.structs.replace(item.mention, text=span_text), item.entity
        recent = [known for known in self.known if self.sentence - known.sentence <= 3]
        fitting = [known for known in recent if _agrees(known.mention.head, gender, known.plural)]
        if gender == "any":  # "they" is several people, or one who is neither he nor she
            fitting = [known for known in fitting if known.plural or known.gender == "any"] or fitting
        if not fitting:
            return Mention(text=span_text, quantity="all" if gender == "any" else "one", certain=False), -1
        last = max(known.sentence for known in fitting)
        nearest = [known for known in fitting if known.sentence == last]
        chosen = next((known for known in reversed(nearest) if known.subject), nearest[-1])
        sure = chosen.mention.certain and len({known.entity for known in fitting}) == 1
        return msgspec.structs.replace(chosen.mention, text=span_text, certain=sure), chosen.entity

    def focus(self, text: str) -> tuple[Mention, int]:
        """Whom a sentence is about that names nobody ("Both arms are raised.")."""
        if not self.known:
            return Mention(text=text, certain=False), -1
        latest = self.known[-1]
        people = {known.entity for known in self.known}
        return msgspec.structs.replace(latest.mention, text=text, certain=len(people) == 1), latest.entity


def _means_each(item: Item) -> bool:
    """As in "each of them has his arms raised", "nobody has his arms raised"."""
    first = item.det.split()[:1]
    if item.mention is not None and item.mention.quantity == "none":
        return True
    return bool(first) and first[0] in _EACH


def _agrees(head: str, gender: str, plural: bool) -> bool:
    if gender == "any":
        return True
    return not plural and lex.GENDER.get(head, "any") in (gender, "any")


def _fits(known: Known, item: Item, mention: Mention) -> bool:
    """Whether a definite phrase may take up somebody known: the same noun and number, and nothing against it."""
    before = known.mention
    if before.quantity not in ("one", "all") or known.plural != item.plural or before.head != mention.head:
        return False
    if (before.count, before.ordinal, before.ordinal_from) != (mention.count, mention.ordinal, mention.ordinal_from):
        return False
    if mention.place and before.place != mention.place:
        return False
    return set(mention.words) <= set(before.words) and set(mention.objects) <= set(before.objects)


def _with_more(mention: Mention, before: Mention) -> Mention:
    """A mention with what was said about the same people before."""
    return msgspec.structs.replace(
        mention, words=before.words, objects=before.objects, place=mention.place or before.place, certain=before.certain
    )


def make_mention(sentence: Sentence, index: int) -> Mention:
    """The mention that a person's noun phrase makes, with what follows it in the sentence."""
    item = sentence.items[index]
    det = item.det.split()
    follows = what_follows(sentence, index)
    ordinal = next((lex.ORDINALS[word] for word in det if word in lex.ORDINALS), None) or follows.ordinal
    return Mention(
        text=sentence.text[slice(*sentence.span(index, follows.end))],
        quantity="none" if _is_not_one(sentence, item) else _quantity(item, det),
        count=item.count if item.count and item.count > 1 and not item.at_least else None,
        head=item.head,
        words=tuple(word for word in (*item.words, *follows.words) if word not in _EMPTY_WORDS),
        place=_PLACES.get(item.words[-1] if item.words else "", "") or ("" if ordinal else follows.place),
        ordinal=ordinal,
        ordinal_from=follows.ordinal_from,
        objects=tuple(follows.objects),
        other=any(word in ("other", "others") for word in sentence.words_of(item).lower().split()),
    )


def _is_not_one(sentence: Sentence, item: Item) -> bool:
    """As in "not a single skier", "not one of them"."""
    before = sentence.tokens[item.first - 1].lower if item.first else ""
    return before == "not" and (item.det.startswith("one") or item.det == "a single")


def _quantity(item: Item, det: list[str]) -> Quantity:
    if not det:
        return "some" if item.plural else "one"
    first = det[0]
    if first in ("no", "none", "neither", "nobody"):
        return "none"
    if first in ("everyone", "everybody", "each", "every", "both", "all"):
        return "all"
    if first in (
        "someone",
        "somebody",
        "anyone",
        "anybody",
        "any",
        "some",
        "several",
        "many",
        "few",
        "couple",
        "either",
    ):
        return "some"
    if first in lex.NUMBERS and len(det) > 1 and det[1] in ("the", "his", "her", "their", "these", "those"):
        return "some"
    if first in lex.NUMBERS and item.head in ("", "person") and item.last - item.first > 1 and item.words == ():
        return "some" if "them" in item.text or first != "one" else "one"
    if not item.plural:
        return "one"
    return "all" if first in _ARTICLE_WORDS or item.count else "some"


@dataclass(slots=True)
class Following:
    """What identifies a person after the noun, and the last item of it."""

    end: int
    place: Place = ""
    ordinal: int | None = None
    ordinal_from: Literal["", "image_left", "image_right"] = ""
    words: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)


def what_follows(sentence: Sentence, index: int) -> Following:
    """Read "on the left", "second from the right", "in a red shirt", "who holds the bat"."""
    items = sentence.items
    found = Following(index)
    here = index + 1
    while here < len(items):
        item = items[here]
        after = items[here + 1] if here + 1 < len(items) else None
        if item.kind == "place":
            found.place = found.place or _PLACES.get(item.head, "")
            found.end, here = here, here + 1
        elif after is None:
            break
        elif _tells_order(item) and (item.kind == "bare" or found.ordinal is None):
            found.ordinal = next(lex.ORDINALS[word] for word in item.det.split() if word in lex.ORDINALS)
            here += 1
        elif item.text == "from" and after.side in ("left", "right"):
            found.ordinal_from = "image_left" if after.side == "left" else "image_right"
            found.end, here = here + 1, here + 2
        elif after.text == "T" and (_names(sentence, index, here) or _goes_on(found, index, item, after)):
            _note(after, found)
            found.end, here = here + 1, here + 2
        elif _is_passed_over(item, after, first=here == index + 1):
            here += 2 if item.text in ("who", "that") and after.text in _BEING else 1
        else:
            break
    return found


def _tells_order(item: Item) -> bool:
    """As in "second from the left", "in the second position from the left"."""
    position = item.kind == "thing" and item.text.startswith("POSE")
    return (item.kind == "bare" or position) and any(word in lex.ORDINALS for word in item.det.split())


def _goes_on(found: Following, index: int, item: Item, after: Item) -> bool:
    """As in "in a red shirt and a hat"."""
    return item.text == "and" and found.end > index and after.head in lex.WORN


def _is_passed_over(item: Item, after: Item, *, first: bool) -> bool:
    """Words between the noun and what identifies: "who is", "seen" in front of a place, "starting" of "from"."""
    if item.text in ("who", "that"):
        return first and (after.text in (*_BEING, *_HAVING) or _tells_order(after))
    if item.text in ("start", "count", "position", "spot"):
        return after.text == "from"
    if item.text == "in":
        return _tells_order(after)
    if item.text == "here":
        return not first
    found = after.kind == "place" or after.text in (*_SEEN, "here") or _tells_order(after)
    return item.text in (*_BEING, *_SEEN, "kneel", "crouch", "squat", "appear") and found


def _names(sentence: Sentence, index: int, here: int) -> bool:
    """Whether the item at `here` and the thing after it say who is meant, rather than what that person does."""
    item, after = sentence.items[here], sentence.items[here + 1]
    if item.text in ("in", "with"):
        return True
    if item.text == "on":
        return after.head in lex.MOUNTS and here == index + 1 and sentence.items[index].det.startswith("the")
    if item.text not in _HAVING:
        return False
    relative = sentence.items[here - 1].text in ("who", "that")
    participle = sentence.tokens[item.first].lower.endswith("ing")
    return relative or (participle and here == index + 1)


def _note(thing: Item, found: Following) -> None:
    found.words.extend((*thing.words, thing.head) if thing.head in lex.WORN else thing.words)
    if thing.head not in lex.COLOURS:
        found.objects.append(thing.head)
