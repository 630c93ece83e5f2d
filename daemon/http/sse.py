"""Server-sent events: a ticket's pieces as they come, in the words of the endpoint that was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from daemon.http.connection import Outlet
from daemon.http.errors import ApiError
from daemon.http.waiting import withdrawn_if_gone
from daemon.tickets import Piece, Result, Ticket

Verdict: TypeAlias = Callable[[Result], ApiError | None]
DONE = b"data: [DONE]\n\n"

_GAP = "\0"
"""Stands for the text while a pattern is worded; no name of a model holds it."""

_in_json = json.JSONEncoder().encode


def identity(ticket: Ticket) -> dict[str, str]:
    """The header by which `hearth explain` finds the request of an answer."""
    return {"X-Hearth-Request": str(ticket.id)}


class Voice(Protocol):
    """How an endpoint words its events."""

    def opening(self) -> bytes:
        """What comes before any text."""

    def piece(self, piece: Piece) -> bytes:
        """Some text; nothing where there is nothing to say yet."""

    def closing(self, result: Result) -> bytes:
        """The end, when it is a good one."""


def event(document: dict[str, Any]) -> bytes:
    """One event. ASCII only: some clients split lines at Unicode separators too."""
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


class Pattern:
    """Events that differ in one text only: the rest is worded once for all the tokens of an answer."""

    def __init__(self, document_with: Callable[[str], dict[str, Any]]) -> None:
        self._head, _, self._tail = event(document_with(_GAP)).partition(_in_json(_GAP).encode())

    def filled(self, text: str) -> bytes:
        """The event with that text."""
        return self._head + _in_json(text).encode() + self._tail


class EventStream(Response):
    """Streams a ticket. Nothing is sent before its first text, so that a refusal still has its own status.

    A piece goes from the ticket to the connection in one call. The task only starts the answer, ends it, and writes
    what a client that reads too slowly left behind.
    """

    media_type = "text/event-stream"

    def __init__(self, ticket: Ticket, voice: Voice, verdict: Verdict) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-cache", **identity(ticket)})
        self._ticket = ticket
        self._voice = voice
        self._verdict = verdict
        self._outlet: Outlet | None = None
        self._held: list[bytes] = []
        """Events that nobody has written yet; those behind them wait too."""
        self._ended = False
        self._news = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the ticket ends or the client goes."""
        async with withdrawn_if_gone(self._ticket, receive):
            await self._stream(scope["state"]["outlet"], send)

    async def _stream(self, outlet: Outlet, send: Send) -> None:
        self._ticket.follow(self._take)
        await self._news.wait()
        if not self._held and (error := self._verdict(await self._ticket.result())):
            error.headers |= identity(self._ticket)
            raise error
        headers = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **headers})
        self._held.insert(0, self._voice.opening())
        self._outlet = outlet
        await self._write_held(outlet)
        while not self._ended:
            self._news.clear()
            await self._news.wait()
            await self._write_held(outlet)
        last = self._ending(await self._ticket.result())
        await send({"type": "http.response.body", "body": last, "more_body": False})

    def _take(self, piece: Piece | None) -> None:
        """Write it now, or hold it: before the answer has begun, and while the client is behind."""
        if piece is None:
            self._ended = True
            self._news.set()
        elif self._outlet is None or self._held or self._outlet.full:
            self._hold(self._voice.piece(piece))
        else:
            self._outlet.write(self._voice.piece(piece))

    def _hold(self, event: bytes) -> None:
        if event:
            self._held.append(event)
            self._news.set()

    async def _write_held(self, outlet: Outlet) -> None:
        await outlet.drain()
        outlet.write(b"".join(self._held))
        self._held.clear()

    def _ending(self, result: Result) -> bytes:
        error = self._verdict(result)
        return event(error.document()) if error else self._voice.closing(result)
