"""A request as its caller sees it: pieces of text while it runs, and exactly one end.

`Desk` is the one place where that promise is kept: it hands out tickets, feeds them from the engines' frames,
and closes each once. It decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from engines.engine import (
    Constraint,
    Emitted,
    Prompt,
    Sampling,
    Score,
    Stopped,
    StopType,
    Timings,
)
from policies.link import Link
from policies.messages import Outcome, Reason
from policies.request import Class, Kind, Place, Promise


@dataclass(frozen=True, slots=True)
class Ask:
    """What an edge (HTTP, LSP, command line) wants done. The orchestrator makes a `Request` and a `Job` of it."""

    kind: Kind
    prompt: Prompt
    tokens_max: int
    client: str
    model: str = ""
    """A configured name; empty for the default model of the kind (and language)."""
    language: str = ""
    klass: Class | None = None
    """Given only when the caller says so; otherwise it follows from the kind."""
    promise: Promise | None = None
    place: Place | None = None
    sampling: Sampling = field(default_factory=Sampling)
    stops: tuple[str, ...] = ()
    expires_s: float | None = None
    predict_s_max: float | None = None
    logprobs: bool = False
    constraint: Constraint | None = None
    """What the answer must match."""
    link: Link | None = None
    """Its place in a chain."""
    tops: int | None = None
    """How many likeliest tokens are named beside each token; None for no scores at all."""


class Piece(msgspec.Struct, frozen=True):
    """Some text, the tokens it stands for, their summed log-probability, and their scores if those were asked for."""

    text: str
    tokens: tuple[int, ...] = ()
    logprob: float = 0.0
    scores: tuple[Score, ...] = ()


Take: TypeAlias = Callable[[Piece | None], None]


@dataclass(frozen=True, slots=True)
class Result:
    """How a request ended, with everything it wrote."""

    text: str
    outcome: Outcome
    reason: Reason
    detail: str
    model: str
    tokens: tuple[int, ...]
    logprob: float
    scores: tuple[Score, ...]
    """One for each token, where the request asked for them."""
    vector: bytes
    """Where one was asked for: float32 numbers, little-endian."""
    stop: StopType | None
    timings: Timings
    first_token_s: float | None
    """Seconds from submission to the first token; None when there was none."""
    whole_s: float


class Ticket:
    """One request, waiting or running. Iterate `pieces()` or `follow` it, await `result()`; `cancel()` withdraws it."""

    def __init__(
        self, request_id: int, model: str, now: float, withdraw: Callable[[int, Reason], None]
    ) -> None:
        self.id = request_id
        self.model = model
        self._opened = now
        self._first: float | None = None
        self._withdraw = withdraw
        self._early: list[Piece | None] = []
        self._take: Take = self._early.append
        self._text: list[str] = []
        self._tokens: list[int] = []
        self._logprob = 0.0
        self._scores: list[Score] = []
        self._stopped: Stopped | None = None
        self._result: Result | None = None
        self._ended = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether its one end has come."""
        return self._result is not None

    @property
    def sent(self) -> tuple[int, ...]:
        """Every token emitted so far: what a second worker must not repeat."""
        return tuple(self._tokens)

    def cancel(self, reason: Reason = Reason.CLIENT) -> None:
        """Withdraw the request; harmless when it has ended."""
        if not self.ended:
            self._withdraw(self.id, reason)

    def follow(self, take: Take) -> None:
        """Call with every piece, those that have come already included, and with None at the end.

        The call comes from within the engine's step: no task wakes up between a token and its reader, who must be
        quick and may not raise. A ticket has one reader.
        """
        early, self._early = self._early, []
        self._take = take
        for piece in early:
            take(piece)

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """Yield text as it comes, until the end. Leaving the loop early withdraws the request."""
        pieces: asyncio.Queue[Piece | None] = asyncio.Queue()
        self.follow(pieces.put_nowait)
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
        finally:
            self.cancel()

    async def result(self) -> Result:
        """Wait for the end. Cancelling the waiting task withdraws the request."""
        try:
            await self._ended.wait()
        except asyncio.CancelledError:
            self.cancel()
            raise
        assert self._result is not None
        return self._result

    def feed(self, emitted: Emitted, now: float) -> None:
        """Take what a step gave it."""
        if self._result is not None:
            return
        if self._first is None:
            self._first = now
        self._tokens.extend(emitted.tokens)
        self._logprob += emitted.logprob
        self._scores.extend(emitted.scores)
        self._put(Piece(emitted.text, emitted.tokens, emitted.logprob, emitted.scores))

    def finish(self, stopped: Stopped) -> None:
        """Keep what the engine said at its end; `close` follows."""
        self._stopped = stopped
        if stopped.text and not self.ended:
            self._put(Piece(stopped.text))

    def close(self, outcome: Outcome, reason: Reason, now: float, detail: str = "") -> Result:
        """End it, once. A second end is a bug of the scheduler's."""
        assert self._result is None, f"request {self.id} ended twice"
        stopped = self._stopped
        self._result = Result(
            text="".join(self._text),
            outcome=outcome,
            reason=reason,
            detail=detail or (stopped.detail if stopped else ""),
            model=self.model,
            tokens=tuple(self._tokens),
            logprob=self._logprob,
            scores=tuple(self._scores),
            vector=stopped.vector if stopped else b"",
            stop=stopped.stop if stopped else None,
            timings=stopped.timings if stopped else Timings(),
            first_token_s=None if self._first is None else self._first - self._opened,
            whole_s=now - self._opened,
        )
        self._take(None)
        self._ended.set()
        return self._result

    def _put(self, piece: Piece) -> None:
        self._text.append(piece.text)
        self._take(piece)


class Desk:
    """Every open ticket by its number."""

    def __init__(self) -> None:
        self._open: dict[int, Ticket] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._open)

    def take_number(self) -> int:
        """The next request's number; numbers grow by one and are never used twice."""
        number, self._next = self._next, self._next + 1
        return number

    def add(self, ticket: Ticket) -> Ticket:
        """Keep a ticket until its end."""
        self._open[ticket.id] = ticket
        return ticket

    def find(self, request_id: int) -> Ticket | None:
        """The open ticket of that number, if it is still open."""
        return self._open.get(request_id)

    def close(
        self, request_id: int, outcome: Outcome, reason: Reason, now: float, detail: str = ""
    ) -> Result:
        """End a ticket and forget it."""
        return self._open.pop(request_id).close(outcome, reason, now, detail)
