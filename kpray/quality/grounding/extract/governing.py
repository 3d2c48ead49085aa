"""Which phrases are subjects: those that no verb or preposition before them governs."""

from __future__ import annotations

from typing import Final

from kpray.quality.grounding.extract import lexicon as lex
from kpray.quality.grounding.extract.items import Item, Sentence

_OPENERS: Final = frozenset(
    [
        ",",
        ";",
        ":",
        "(",
        ")",
        "and",
        "but",
        "while",
        "whereas",
        "although",
        "though",
        "because",
        "since",
        "that",
        "where",
        "so",
        "as",
        "or",
        "—",
        "–",
        "--",
        ".",
        '"',
        "“",
        "”",
        "than",
        "if",
        "whether",
        "like",
        "when",
        "meanwhile",
    ]
)
_SHOWING: Final = lex.words("notice take consider meet see observe regard view behold study picture examine")


class Governing:
    """What the words before a phrase make of it.

    Attributes:
        sentence: That is read.
        items: Of the sentence.
        subject: Of the clause so far.
    """

    sentence: Sentence
    items: list[Item]
    subject: tuple[Item, ...]

    def _governed(self, index: int, before: Item | None) -> bool:
        """Whether a phrase belongs to a verb or preposition before it."""
        if before is None or before.kind in ("place", "own_side"):
            return False
        if before.text == "be" and index == 1:
            return False  # "Is the man standing?"
        if before.text in ("do", "have", "be") and index == 1:
            return False
        if before.kind == "beside_of":
            return True
        if before.kind == "word":
            return self._governs(index - 1, before) and not (before.text == "be" and self._inverted())
        return True

    def _governs(self, index: int, word: Item) -> bool:
        """Whether a word is a verb or preposition; an unknown one is, if it looks like a verb."""
        if word.text in _OPENERS:
            return False
        if word.text in lex.PREPOSITIONS or word.text in lex.VERBS:
            return True
        return index > 0 and self.sentence.tokens[word.first].lower.endswith(("s", "ing", "ed"))

    def _inverted(self) -> bool:
        """As in "To the left of the man is a woman": the subject follows."""
        return self.items[0].kind in ("beside_of", "place") or self.items[0].text in ("next", "beside", "on", "in")

    def _presented(self, index: int) -> bool:
        """As in "There is a man", "the image shows a man", "we can see a man": he is what the sentence is about."""
        verb = next((one for one in reversed(self.items[max(0, index - 3) : index]) if one.kind == "word"), None)
        if verb is None:
            return False
        texts = [one.text for one in self.items[:index]]
        if texts[-1] in _SHOWING and len(texts) == 1:
            return True  # "Notice the man, with both arms raised."
        shown = not any(one.kind == "person" for one in self.subject)
        if verb.text == "be":
            return "there" in texts or "here" in texts or (shown and texts[0] in ("it", "this", "that", "IMAGE"))
        if verb.text == "of" and "IMAGE" in texts:
            return shown
        return shown and verb.text in (*lex.IMAGE_VERBS, "on", "at", "for") and self._is_image_sentence(texts)

    def _is_image_sentence(self, texts: list[str]) -> bool:
        return any(
            text in ("IMAGE", "we", "you", "i", "one", "BARE", "scene", "CAMERA", "T", "as", "take", "look")
            for text in texts
        )

    def _joined(self, index: int) -> bool:
        """As in "A man and a woman": the second of several subjects."""
        if index < 2 or self.items[index].kind != "person" or not self.subject:
            return False
        before, left = self.items[index - 1], self.items[index - 2]
        return before.text == "and" and left is self.subject[-1] and left.kind == "person"
