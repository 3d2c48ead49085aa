"""A model as judge: what its reply cannot tell is asked once more, and all of it goes through the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from kpray.errors import TeacherError
from kpray.judges.asking import Answered, Asker, reason_of
from kpray.judges.books import Books
from kpray.judges.types import Judgement, none_of
from kpray.judges.waiting import judge_all
from kpray.ledger.journal import Known
from kpray.schemas import Reply, Request, Sampling, Usage
from kpray.scoring.judging.prompt import reask_messages, render, sampling_of
from kpray.scoring.judging.verdicts import model_fingerprint, needs_reasking, verdict_of
from kpray.scoring.types import JudgeFingerprint, JudgeItem, Verdict


class Asking(msgspec.Struct, frozen=True):
    """What a judge is asked as, beside the item; part of every request and so of what is paid once.

    Attributes:
        model: ``openai/`` and the model's name at the server.
        sampling: Of each judgement; repeats get seeds of their own.
        structured: Whether the server enforces a JSON schema; else ratings are asked for on the first line.
    """

    model: str
    sampling: Sampling
    structured: bool = True

    def request(self, item: JudgeItem) -> Request:
        """The request for one item."""
        prompt = render(item, structured=self.structured)
        return Request(
            kind="judge",
            scene_id=item.scene.scene_id,
            messages=prompt.messages,
            model=self.model,
            sampling=sampling_of(self.sampling, item.repeat),
            response_schema=prompt.response_schema,
        )

    def fingerprint(self, item: JudgeItem, reply: Reply | None = None) -> JudgeFingerprint:
        """Who judged an item; as the server names it where there is a reply."""
        served = reply.model if reply and reply.model else self.model.partition("/")[2]
        return model_fingerprint(served, mode=item.mode, structured=self.structured, sampling=self.sampling)


class ModelJudge:
    """A `kpray.judges.types.Judge` behind an OpenAI-compatible server."""

    def __init__(self, asker: Asker, books: Books, asking: Asking) -> None:
        """Judge with what `kpray.judges.connect` makes."""
        self._asker, self._books, self._asking = asker, books, asking

    async def judgements(self, items: Sequence[JudgeItem], *, within_s: float | None = None) -> list[Judgement]:
        """See `kpray.judges.types.Judge`."""
        # Reading in a thread: a ledger may be far away.
        known = await asyncio.to_thread(self._books.known, {item.scene.scene_id for item in items})

        async def judged(item: JudgeItem) -> Judgement:
            return await self._judged(item, known)

        return await judge_all(items, judged, within_s=within_s, late=self._late)

    async def judge(self, items: Sequence[JudgeItem]) -> list[Verdict]:
        """The verdicts of `judgements`."""
        return [judgement.verdict for judgement in await self.judgements(items)]

    async def aclose(self) -> None:
        """See `kpray.judges.types.Judge`."""
        await self._asker.aclose()

    async def _judged(self, item: JudgeItem, known: Known) -> Judgement:
        request = self._asking.request(item)
        answers = [await self._asker.answer(request, known)]
        reply = answers[0].outcome
        failure = needs_reasking(item, reply) if isinstance(reply, Reply) else None
        if isinstance(reply, Reply) and failure is not None:
            again = msgspec.structs.replace(request, messages=reask_messages(request.messages, reply.text, failure))
            answers.append(await self._asker.answer(again, known))
        return self._judgement(item, answers)

    def _judgement(self, item: JudgeItem, answers: Sequence[Answered]) -> Judgement:
        last = answers[-1]
        paid = [answer.outcome for answer in answers if answer.asked and isinstance(answer.outcome, Reply)]
        if isinstance(last.outcome, TeacherError):
            none = none_of(
                item,
                self._asking.fingerprint(item),
                reason_of(last.outcome),
                str(last.outcome),
                retry_after_s=last.retry_after_s,
            )
            return msgspec.structs.replace(none, asked=len(paid), usd=_usd(paid), usage=_usage(paid))
        verdict = verdict_of(item, last.outcome, self._asking.fingerprint(item, last.outcome))
        return Judgement(verdict, "asked" if paid else "ledger", len(paid), _usd(paid), _usage(paid))

    def _late(self, item: JudgeItem) -> Judgement:
        said = "no judgement came in the time that was given; what was sent is kept, so ask again"
        return none_of(item, self._asking.fingerprint(item), "too_slow", said, retry_after_s=self._asker.away_s or None)


def _usd(paid: Sequence[Reply]) -> float | None:
    prices = [0.0 if reply.finish_reason == "error" else reply.usd for reply in paid]
    return None if None in prices else sum(price or 0.0 for price in prices)


def _usage(paid: Sequence[Reply]) -> Usage:
    counted = [reply.usage for reply in paid if reply.usage]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in counted),
        completion_tokens=sum(usage.completion_tokens for usage in counted),
        cached_tokens=sum(usage.cached_tokens for usage in counted),
    )
