"""Server-sent events: a ticket's pieces as they come, in the words of the endpoint that was asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from daemon.http.errors import ApiError
from daemon.http.waiting import withdrawn_if_gone
from daemon.tickets import Piece, Result, Ticket

Verdict: TypeAlias = Callable[[Result], ApiError | None]
DONE = b"data: [DONE]\n\n"


class Voice(Protocol):
    """How an endpoint words its events."""

    def opening(self) -> bytes:
        """What comes before any text."""

    def piece(self, piece: Piece) -> bytes:
        """Some text."""

    def closing(self, result: Result) -> bytes:
        """The end, when it is a good one."""


def event(document: dict[str, Any]) -> bytes:
    """One event. ASCII only: some clients split lines at Unicode separators too."""
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


class EventStream(Response):
    """Streams a ticket. Nothing is sent before its first piece, so that a refusal still has its own status."""

    media_type = "text/event-stream"

    def __init__(self, ticket: Ticket, voice: Voice, verdict: Verdict) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-cache"})
        self._ticket = ticket
        self._voice = voice
        self._verdict = verdict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the ticket ends or the client goes."""
        del scope
        async with withdrawn_if_gone(self._ticket, receive):
            await self._stream(send)

    async def _stream(self, send: Send) -> None:
        pieces = self._ticket.pieces()
        first = await anext(pieces, None)
        if first is None and (error := self._verdict(await self._ticket.result())):
            raise error
        headers = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **headers})
        await _send(send, self._voice.opening() + self._worded(first), more=True)
        async for piece in pieces:
            await _send(send, self._worded(piece), more=True)
        await _send(send, self._ending(await self._ticket.result()), more=False)

    def _worded(self, piece: Piece | None) -> bytes:
        return self._voice.piece(piece) if piece is not None and piece.text else b""

    def _ending(self, result: Result) -> bytes:
        error = self._verdict(result)
        return event(error.document()) if error else self._voice.closing(result)


async def _send(send: Send, body: bytes, *, more: bool) -> None:
    if body or not more:
        await send({"type": "http.response.body", "body": body, "more_body": more})
