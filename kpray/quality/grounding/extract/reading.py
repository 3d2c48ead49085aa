"""One sentence, read: its items, whom they are about and what holds at them, and the claims found so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kpray.quality.grounding.claims import Claim, ClaimSide, Mention, Thing
from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.clauses import Subjects
from kpray.quality.grounding.extract.items import Item, Sentence
from kpray.quality.grounding.extract.people import Discourse
from kpray.quality.grounding.extract.scope import Scope


@dataclass(slots=True)
class Reading:
    """What the finders of claims work on."""

    turn: int
    sentence: Sentence
    discourse: Discourse
    subjects: Subjects
    scopes: list[Scope]
    claims: list[Claim] = field(default_factory=list)

    def about(self, index: int) -> tuple[Item, ...]:
        """The people whom the verb or adjective at an item is about; empty where it is about something else."""
        item = self.sentence.items[index]
        lower = self.sentence.tokens[item.first].lower
        finite = lower in ("is", "are", "be") or (lower.endswith("s") and item.kind == "word")
        chosen = self.subjects.finite[index] if finite or self._after_verb(index) else self.subjects.near[index]
        if chosen and chosen[-1].kind == "thing":
            chosen = self._behind_clothes(index, chosen[-1])
        return tuple(one for one in chosen if one.kind == "person" and one.mention is not None)

    def _after_verb(self, index: int) -> bool:
        """Whether the item before is a verb of the same clause, so that this one has its subject."""
        before = self.sentence.items[index - 1] if index else None
        return before is not None and before.text in ("be", "have", "remain", "stay", "keep", "not", "do", "get")

    def _behind_clothes(self, index: int, thing: Item) -> tuple[Item, ...]:
        """As in "a man in a red shirt standing": clothes do not stand; anything else might."""
        verb = self.sentence.items[index].text
        holds = verb in ("hold", "grip", "carry", "clutch") and thing.head not in lex.ANIMALS | lex.CONTAINERS
        if holds and thing.kind == "thing":
            people = [one for one in self.sentence.items[:index] if one.kind == "person"]
            return tuple(people[-1:])
        if thing.head not in lex.WORN and thing.text != "IMAGE" and not thing.text.startswith("POSE"):
            return ()
        people = [one for one in self.sentence.items[:index] if one.kind == "person"]
        return tuple(people[-1:])

    def add(
        self,
        name: str,
        value: str,
        who: Sequence[Item],
        span: tuple[int, int],
        *,
        at: int,
        side: ClaimSide = "",
        other: Mention | Thing | None = None,
        negated: bool = False,
    ) -> None:
        """One claim for each of `who`, unless its place in the sentence makes it none.

        Args:
            name: See `Claim`.
            value: See `Claim`.
            who: Items of people.
            span: First and last item of the words that make it.
            at: Item whose scope decides.
            side: See `Claim`.
            other: See `Claim`.
            negated: A denial that the scope does not see ("no raised arm").
        """
        scope = self.scopes[at]
        if scope.unreal:
            return
        start, end = self.sentence.span(min(span), max(span))
        for item in who:
            if item.mention is None:
                continue
            self.claims.append(
                Claim(
                    turn=self.turn,
                    start=start,
                    end=end,
                    name=name,
                    value=value,
                    who=item.mention,
                    entity=item.entity,
                    side=side,
                    negated=scope.negated != negated,
                    hedged=scope.hedged,
                    other=other,
                )
            )

    def somebody(self, index: int) -> Item:
        """Whom the sentence is about where it names nobody."""
        item = self.sentence.items[index]
        mention, entity = self.discourse.focus(self.sentence.words_of(item))
        return Item("person", "P", item.first, item.last, mention=mention, entity=entity)


def as_thing(sentence: Sentence, item: Item) -> Thing:
    """A thing's phrase as the claims have it."""
    return Thing(text=sentence.words_of(item), head=item.head, plural=item.plural)
