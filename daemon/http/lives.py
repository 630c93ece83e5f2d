"""`/status/requests` and `/status/requests/{id}`: what the journal says of the latest requests, and of one.

A journal is read in a thread: a full one takes longer than a keystroke may wait for the loop.
"""

from __future__ import annotations

import asyncio
import time

from fastapi import APIRouter
from fastapi.responses import Response

from daemon.http.errors import ApiError, invalid
from daemon.http.schemas_lives import MomentTold, PromiseMade, RequestsTold, RequestTold
from daemon.http.settings import Submitter
from daemon.life import Life, kept
from daemon.lives import read_lives
from policies.request import Promise, Request

COUNT = 20
COUNT_MAX = 1000
"""More at once would hold up every key."""
DIGITS_MAX = 15


def lives_routes(desk: Submitter) -> APIRouter:
    """The endpoints of those documents."""
    router = APIRouter()

    @router.get("/status/requests")
    async def requests(count: str = str(COUNT)) -> Response:
        wished = _number(count, "count")
        if wished > COUNT_MAX:
            raise invalid(f"count must be {COUNT_MAX} or less")
        lives = await _lives(desk)
        latest = sorted(lives.values(), key=lambda life: life.id)[-wished:]
        return _document(desk, [told(life, time.monotonic()) for life in latest])

    @router.get("/status/requests/{request_id}")
    async def request(request_id: str) -> Response:
        number = _number(request_id, "a request's id")
        life = (await _lives(desk)).get(number)
        if life is None:
            raise ApiError(
                404,
                f"no request of this number is in the journal, which holds the last {len(desk.journal)} "
                "decisions: [limits] journal_max is how many are kept",
            )
        now = time.monotonic()
        one = told(life, now).model_copy(update={"moments": _moments(life)})
        return _document(desk, [one])

    return router


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > DIGITS_MAX or int(text) == 0:
        raise invalid(f"{name} must be a whole number from 1 on")
    return int(text)


def told(life: Life, now: float) -> RequestTold:
    """A life without its moments, as it is now."""
    request = life.request
    return RequestTold(
        id=life.id,
        kind=request.kind.value if request else None,
        klass=request.klass.label if request else None,
        model=life.model,
        client=request.client if request else None,
        prompt_bytes=request.prompt_bytes if request else None,
        tokens_max=request.tokens_max if request else None,
        promise=_promise(request),
        arrived_ago_s=None if life.arrived_s is None else round(now - life.arrived_s, 3),
        prompt_tokens=life.prompt_tokens,
        cached_tokens=life.cached_tokens,
        output_tokens=life.output_tokens,
        waited_ms=round(life.waited_until(now) * 1e3, 1),
        first_token_ms=_ms(life.since_arrival(life.first_s)),
        whole_ms=_ms(life.since_arrival(life.ended_s)),
        gap_max_ms=_ms(life.gap_max_s),
        outcome=life.outcome.value if life.outcome else None,
        reason=life.reason.value if life.reason else None,
        kept=kept(life, now),
        moments=(),
    )


async def _lives(desk: Submitter) -> dict[int, Life]:
    return await asyncio.to_thread(read_lives, tuple(desk.journal))


def _document(desk: Submitter, requests: list[RequestTold]) -> Response:
    document = RequestsTold(decisions=len(desk.journal), requests=tuple(requests))
    return Response(document.model_dump_json(), media_type="application/json")


def _moments(life: Life) -> tuple[MomentTold, ...]:
    if not life.moments:
        return ()
    start_s = life.moments[0].at_s
    return tuple(
        MomentTold(
            at_ms=round((moment.at_s - start_s) * 1e3, 1),
            what=moment.what,
            detail=moment.detail,
            by=moment.by,
        )
        for moment in life.moments
    )


def _promise(request: Request | None) -> PromiseMade | None:
    if request is None or request.promise == Promise():
        return None
    promise = request.promise
    return PromiseMade(
        first_token_ms=_ms(promise.first_token_s),
        whole_ms=_ms(promise.whole_s),
        gap_ms=_ms(promise.gap_s),
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 1)
