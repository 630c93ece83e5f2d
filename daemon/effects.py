"""Carries out actions and hears engines: the only hands of the orchestrator.

An action becomes a call on an engine or the end of a ticket. A frame feeds tickets at once, since text should not
wait for decisions, and is posted as an event. Every load gets an engine of its own: what a former one still says
is not heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import msgspec

from daemon.frames import event_of
from daemon.tickets import Desk, Result
from engines import engine as frames
from engines.engine import Engine, Frame, Job, Receive, Usage
from policies.messages import Action, End, Event, Halt, Load, Reason, Start, Stop, Unload

MakeEngine = Callable[[str, Receive], Engine]

_TO_GO_ON = (Halt.STOPPED, Halt.EVICTED)
"""Halts after which a request may start again: what its engine held back is not its last word."""

_OF_MODEL = (Reason.NO_ROOM, Reason.LOAD_FAILED, Reason.ENGINE, Reason.POISON)
"""Reasons that a word about the model explains."""


@dataclass(slots=True)
class Seat:
    """Where a model's engine is, while it has one, and what it last said of itself."""

    engine: Engine | None = None
    loaded: frames.Loaded | None = None
    progress: float | None = None
    detail: str = ""

    @property
    def usage(self) -> Usage:
        """Memory in use now."""
        return self.engine.usage() if self.engine else Usage()


@dataclass(slots=True)
class Effects:
    """`perform` is everything the scheduler can do to the world."""

    models: Sequence[str]
    make_engine: MakeEngine
    desk: Desk
    post: Callable[[Event], None]
    clock: Callable[[], float]
    ended: Callable[[int, Result], None]
    explain: Callable[[Reason, str], str]
    changed: Callable[[], None]
    jobs: dict[int, Job] = field(default_factory=dict)
    seats: dict[str, Seat] = field(init=False)
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no engine is left."""

    def __post_init__(self) -> None:
        self.seats = {name: Seat() for name in self.models}
        self.quiet.set()

    def perform(self, action: Action) -> None:
        """Do what the scheduler wishes. What has become pointless meanwhile is left undone."""
        match action:
            case Start():
                self._start(action)
            case Stop(request_id, model):
                if engine := self.seats[model].engine:
                    engine.stop(request_id)
            case End():
                self._end(action)
            case Load(model):
                self._load(model)
            case Unload(model):
                if engine := self.seats[model].engine:
                    engine.unload()
            case _:
                assert_never(action)

    def unload_all(self) -> None:
        """Ask every engine to close."""
        for seat in self.seats.values():
            if seat.engine:
                seat.engine.unload()

    def kill_all(self) -> None:
        """Close every engine that is left, at once."""
        for seat in self.seats.values():
            if seat.engine:
                seat.engine.kill()
        self.seats = {name: Seat() for name in self.models}
        self.quiet.set()

    def _start(self, action: Start) -> None:
        ticket = self.desk.find(action.request_id)
        engine = self.seats[action.model].engine
        if (
            ticket is None or engine is None
        ):  # it died meanwhile, which the scheduler is about to hear
            return
        engine.submit(
            msgspec.structs.replace(
                self.jobs[action.request_id],
                urgency=action.urgency,
                slack_s=action.slack_s,
                alone=action.alone,
                sent=ticket.sent,
            )
        )

    def _end(self, action: End) -> None:
        ticket = self.desk.find(action.request_id)
        if ticket is None:
            return
        del self.jobs[action.request_id]
        detail = self.explain(action.reason, ticket.model) if action.reason in _OF_MODEL else ""
        now = self.clock()
        result = self.desk.close(action.request_id, action.outcome, action.reason, now, detail)
        self.ended(action.request_id, result)

    def _load(self, model: str) -> None:
        seat = self.seats[model]
        engine = self.make_engine(model, lambda frame: self._hear(model, engine, frame))
        seat.engine, seat.progress = engine, 0.0
        self.quiet.clear()
        engine.load()

    def _hear(self, model: str, engine: Engine, frame: Frame) -> None:
        seat = self.seats[model]
        if seat.engine is not engine:
            return
        match frame:
            case frames.Stepped():
                self._feed(frame)
            case frames.Stopped():
                self._finish(frame)
            case frames.Loading():
                seat.progress = frame.progress
                self.changed()
            case frames.Loaded():
                seat.loaded, seat.progress, seat.detail = frame, None, ""
            case frames.LoadFailed() | frames.Died():
                self._leave(model, frame.detail)
            case frames.Unloaded():
                self._leave(model, "")
            case frames.Prepared():
                pass
            case _:
                assert_never(frame)
        if event := event_of(model, frame):
            self.post(event)

    def _leave(self, model: str, detail: str) -> None:
        self.seats[model] = Seat(detail=detail)
        if not any(seat.engine for seat in self.seats.values()):
            self.quiet.set()

    def _feed(self, frame: frames.Stepped) -> None:
        now = self.clock()
        for given in frame.emitted:
            if ticket := self.desk.find(given.request_id):
                ticket.feed(given, now)

    def _finish(self, frame: frames.Stopped) -> None:
        ticket = self.desk.find(frame.request_id)
        if ticket and frame.halt not in _TO_GO_ON:
            ticket.finish(frame)
