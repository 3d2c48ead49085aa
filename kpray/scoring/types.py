"""What is asked, answered, judged and scored."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from kpray.lineage import fingerprint_value
from kpray.schemas import Lineage, Sampling, Scene, Usage

Mode = Literal["pairwise", "reference", "single"]
MODES: Final[tuple[Mode, ...]] = ("pairwise", "reference", "single")

REFERENCE: Final = "reference"
"""Name under which a question's reference answer is judged, as if a model had given it."""

LOWEST: Final = 1.0
HIGHEST: Final = 10.0
"""The ends of the judge's scale."""

POINTS: Final = 10.0
"""Points of the papers' tables per unit of the judge's scale."""


class Question(msgspec.Struct, frozen=True):
    """One question of a benchmark.

    Attributes:
        question_id: Unique in the benchmark; everything is joined by it.
        scene_id: Of the image; questions with the same one are resampled together.
        image: Path relative to the folder of images.
        category: Scores are reported by it; ``conversation``, ``detailed`` and ``reasoning`` in the papers' benchmark.
        text: As the models are asked.
        reference: The reference answer; empty where there is none.
        lineage: Where the question and its reference come from; None where nobody knows.
    """

    question_id: str
    scene_id: str
    image: str
    category: str
    text: str
    reference: str = ""
    lineage: Lineage | None = None


class Answer(msgspec.Struct, frozen=True):
    """What one model answered to one question.

    Attributes:
        question_id: Of the question.
        model: Its name in the benchmark's tables.
        text: As it came; may be empty.
        finish_reason: As in `kpray.schemas.Reply`.
        usage: None where nobody counted.
        lineage: Where it comes from; None where nobody knows.
    """

    question_id: str
    model: str
    text: str
    finish_reason: str = "stop"
    usage: Usage | None = None
    lineage: Lineage | None = None


class JudgeItem(msgspec.Struct, frozen=True):
    """One thing to judge: one order of the answers to one question.

    Attributes:
        question: What was asked.
        scene: What the judge is told of the picture.
        answers: In the order shown; two, or one in the mode ``single``.
        mode: ``pairwise`` shows two models' answers, ``reference`` a model's and the reference, ``single`` one.
        swapped: Whether this is the second of the two orders.
        repeat: Counts from 0 how often the same was asked before.
    """

    question: Question
    scene: Scene
    answers: tuple[Answer, ...]
    mode: Mode
    swapped: bool = False
    repeat: int = 0

    @property
    def models(self) -> tuple[str, ...]:
        """Who gave the answers, in the order shown."""
        return tuple(answer.model for answer in self.answers)


class JudgeFingerprint(msgspec.Struct, frozen=True):
    """Who judged, and how; scores of different fingerprints do not compare.

    Attributes:
        kind: ``model``, or ``geometric`` for the embedded judge, which is no model.
        model: As the server names it, which tells more than the name that was asked for.
        prompt: Hash of the wording for this mode and output form; of the rules where `kind` is ``geometric``.
        sampling: As configured. The seed of a repeat is not part of it.
    """

    kind: Literal["model", "geometric"]
    model: str
    prompt: str
    sampling: Sampling = Sampling()

    @property
    def digest(self) -> str:
        """16 hex digits."""
        return fingerprint_value(self)

    def __str__(self) -> str:
        """For tables and messages."""
        given = msgspec.to_builtins(self.sampling)
        drawn = "".join(f", {name} {value}" for name, value in given.items() if value is not None)
        return f"{self.model} ({self.kind} judge, prompt {self.prompt}{drawn})"


class Aspects(msgspec.Struct, frozen=True):
    """What a judge thinks of one answer, each from 1 to 10."""

    helpfulness: float
    relevance: float
    accuracy: float
    detail: float


class Verdict(msgspec.Struct, frozen=True):
    """What a judge said of one item.

    Attributes:
        question_id: Of the question.
        mode: Of the item.
        models: Who gave the answers, in the order shown.
        scores: 1 to 10 for each of them; None where the verdict is unscored.
        judge: Who judged.
        swapped: Of the item.
        repeat: Of the item.
        aspects: Of each answer; empty where the judge gave none.
        explanation: In the judge's words.
        unscored: Why there are no scores, a short name to count by; None where there are.
        request_id: Finds the reply in the ledger; empty where nothing was asked.
    """

    question_id: str
    mode: Mode
    models: tuple[str, ...]
    scores: tuple[float, ...] | None
    judge: JudgeFingerprint
    swapped: bool = False
    repeat: int = 0
    aspects: tuple[Aspects, ...] = ()
    explanation: str = ""
    unscored: str | None = None
    request_id: str = ""


class Estimate(msgspec.Struct, frozen=True):
    """A figure and its 95 % interval.

    Attributes:
        value: Best guess.
        low: Lower end; None, as `high`, where the data do not tell (fewer than two images, or no spread at all).
        high: Upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None


class Score(msgspec.Struct, frozen=True):
    """What one model reached in one category.

    Attributes:
        model: Whose.
        opponent: Whose answer was shown beside it; empty for ``single``, and where all are taken together.
        category: Empty for all categories together.
        mean: Ten times the mean rating, 10 to 100: the papers' number. None where nothing could be scored.
        questions: With a score, counted once for each opponent.
        images: Of these questions.
        verdicts: Asked for, over orders, repeats and opponents.
        unscored: How many of the verdicts have no score, by reason.
        worst: The mean if every unscored verdict had given a 1; also counts questions without any score.
        best: Likewise with a 10.
        relative: The mean as a percentage of the opponents' on the same questions, as LLaVA reports it against the
            reference; None for ``single``.
        words: Mean length of the answers in words; None where the answers are not given.
    """

    model: str
    opponent: str
    category: str
    mean: Estimate | None
    questions: int
    images: int
    verdicts: int
    unscored: dict[str, int]
    worst: float
    best: float
    relative: Estimate | None = None
    words: float | None = None


class Difference(msgspec.Struct, frozen=True):
    """How much better one model is than another on the same questions.

    Attributes:
        first: The one it is about.
        second: The one it is compared with.
        category: Empty for all categories together.
        through: Empty where the two were shown side by side or each alone; else the opponents that both had.
        points: Ten times the mean difference of their ratings.
        questions: Where both have a score.
        images: Of these questions.
        p: Of no difference, two-sided, from the same resampling as the interval; None where there is no interval.
        p_holm: The same, corrected for all differences that were tested together.
        detectable: Smallest true difference in points that such a benchmark finds in 80 of 100 cases.
    """

    first: str
    second: str
    category: str
    through: tuple[str, ...]
    points: Estimate
    questions: int
    images: int
    p: float | None
    p_holm: float | None
    detectable: float | None


class Outcomes(msgspec.Struct, frozen=True):
    """Who won the questions where two answers were shown side by side.

    Attributes:
        model: Whose wins.
        opponent: Against whom.
        category: Empty for all categories together.
        wins: Questions won in at least one order and lost in none.
        ties: Equal in every order.
        losses: As wins, for the opponent.
        split: The order of the answers decided: won in one and lost in the other.
        unscored: Questions that lack a score in some order.
    """

    model: str
    opponent: str
    category: str
    wins: int
    ties: int
    losses: int
    split: int
    unscored: int


class OrderEffect(msgspec.Struct, frozen=True):
    """How much the order of the answers mattered to the judge.

    Attributes:
        first_bonus: Points that an answer gains by being shown first instead of second.
        moved: Mean size of the change in points, in either direction.
        flipped: Part of the questions whose winner is another one in the other order.
        questions: Judged in both orders, counted once for each pair of models.
    """

    first_bonus: Estimate
    moved: float
    flipped: float
    questions: int


class Spread(msgspec.Struct, frozen=True):
    """How much the same judge differs from itself when asked again.

    Attributes:
        model: Whose score.
        repeats: How often each item was judged.
        within: Standard deviation in points of one item's score over its repeats, pooled over items.
        overall: Standard deviation in points of the whole score over repeats, over what every repeat scored.
    """

    model: str
    repeats: int
    within: float
    overall: float
