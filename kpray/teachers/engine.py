"""The calling loop: many requests in flight, every reply durable before it is passed on. No Ray inside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from kpray.errors import TeacherError, TeacherStoppedError, TeacherUnavailableError
from kpray.ledger.journal import Journal
from kpray.schemas import Reply, Request
from kpray.teachers.protocol import Teacher

Outcome = Reply | TeacherError


class Engine:
    """Asks one teacher, with a bound on the requests under way.

    Several shards may be answered at once; they share the bound.
    """

    def __init__(self, teacher: Teacher, *, in_flight: int, on_reply: Callable[[Reply], None]) -> None:
        """Make an engine.

        Args:
            teacher: Whom to ask.
            in_flight: How many requests may be under way at once.
            on_reply: Called with every new reply, once it is durable.
        """
        self._teacher = teacher
        self._slots = asyncio.Semaphore(in_flight)
        self._on_reply = on_reply
        self._stopped: TeacherStoppedError | None = None

    async def answer(
        self, requests: Iterable[Request], *, known: Mapping[str, Reply], journal: Journal
    ) -> list[Outcome]:
        """Answer requests, in their order; nothing that is known is asked again.

        Requests are taken from the iterable one by one as places come free, so they may be rendered late.
        Equal requests (the same id) are asked once. A request that fails comes back as its error, so that
        one bad row never takes others with it; once the teacher has stopped, nothing more is asked.
        """
        order: list[str] = []
        under_way: dict[str, asyncio.Task[Outcome]] = {}
        for request in requests:
            request_id = request.request_id
            order.append(request_id)
            if request_id in known or request_id in under_way:
                await asyncio.sleep(0)  # rendering must not keep the loop from replies that have landed
                continue
            await self._slots.acquire()
            under_way[request_id] = asyncio.create_task(self._ask(request, journal))
        if under_way:
            await asyncio.wait(under_way.values())
        return [known[i] if i in known else under_way[i].result() for i in order]

    async def _ask(self, request: Request, journal: Journal) -> Outcome:
        try:
            reply = self._stopped or await self._teacher.ask(request)
        except TeacherStoppedError as error:
            self._stopped = error
            return error
        except TeacherError as error:
            return error
        except Exception as error:  # noqa: BLE001 - one request's unforeseen failure must not take the others along
            return TeacherUnavailableError(f"{type(error).__name__}: {error}")
        finally:
            self._slots.release()
        if isinstance(reply, Reply):
            await journal.append(reply)
            self._on_reply(reply)
        return reply
