"""Many tickets for one HTTP request: a few at a time, so that a client that indexes a project leaves room in the queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from starlette.types import Receive

from daemon.http.errors import ApiError, invalid
from daemon.http.settings import Submitter
from daemon.tickets import Ask, Result
from policies.messages import Outcome

AT_ONCE = 8
"""Tickets of one HTTP request that are open together: more than a model works on, so that it never waits for us."""

Judgement = Callable[[Ask, Result], ApiError | None]


async def gather(
    desk: Submitter, asks: Sequence[Ask], receive: Receive, judgement: Judgement
) -> list[Result]:
    """Return what came of each ask, in their order. The first that is not done is the ApiError of all.

    `expires_s` of an ask counts from this call. A client that goes away withdraws what is open.
    """
    began_s = time.monotonic()
    results: dict[int, Result] = {}
    todo = iter(enumerate(asks))

    async def work() -> None:
        for number, ask in todo:
            result = await desk.submit(_in_time(ask, time.monotonic() - began_s)).result()
            if result.outcome is not Outcome.DONE:
                raise judgement(ask, result) or ApiError(503, result.reason.value)
            results[number] = result

    try:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(_until_gone(receive))
            await asyncio.wait([group.create_task(work()) for _ in asks[:AT_ONCE]])
            watch.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [results[number] for number in range(len(asks))]


def _in_time(ask: Ask, passed_s: float) -> Ask:
    return ask if ask.expires_s is None else replace(ask, expires_s=ask.expires_s - passed_s)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise invalid("the client has gone")
