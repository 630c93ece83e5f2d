"""One ticket, answered as the request wished: whole, or as a stream."""

from __future__ import annotations

from typing import Any, Protocol

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from daemon.http.sse import EventStream, Verdict, Voice, identity
from daemon.http.waiting import withdrawn_if_gone
from daemon.tickets import Result, Ticket


class Words(Voice, Protocol):
    """How an endpoint puts what came of a request."""

    def whole(self, result: Result) -> dict[str, Any]:
        """All of it in one document."""


async def answer(
    request: Request, ticket: Ticket, words: Words, verdict: Verdict, *, stream: bool
) -> Response:
    """Wait for the end and send everything at once, unless text is wanted as it comes."""
    if stream:
        return EventStream(ticket, words, verdict)
    async with withdrawn_if_gone(ticket, request.receive):
        result = await ticket.result()
    if error := verdict(result):
        error.headers |= identity(ticket)
        raise error
    return JSONResponse(words.whole(result), headers=identity(ticket))
