"""Carries out actions and hears engines: the only hands of the orchestrator.

An action becomes a call on an engine or the end of a ticket. A frame feeds tickets at once, since text should not
wait for decisions, and is posted as an event. Every load gets an engine of its own: what a former one still says
is not heard.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import msgspec

from daemon.frames import event_of
from daemon.tickets import Desk
from engines import engine as frames
from engines.engine import Engine, Frame, Job, Receive, Usage
from engines.shelf import Shelf
from policies.messages import (
    Action,
    End,
    Event,
    Halt,
    Load,
    Park,
    Pause,
    Start,
    Stop,
    Unload,
    Unpause,
)

USAGE_KEPT_S = 2.0

log = logging.getLogger(__name__)

MakeEngine = Callable[[str, Receive], Engine]

_TO_GO_ON = (Halt.STOPPED, Halt.PARKED)
"""Halts after which a request may start again: what its engine held back is not its last word."""


@dataclass(slots=True)
class Seat:
    """Where a model's engine is, while it has one, and what it last said of itself."""

    engine: Engine | None = None
    loaded: frames.Loaded | None = None
    progress: float | None = None
    detail: str = ""
    _usage: Usage = field(default_factory=Usage)
    _measured_s: float = -math.inf

    def usage(self, now: float) -> Usage:
        """Memory in use. Measuring takes milliseconds, so it is done now and then, not at every question."""
        if self.engine is None:
            return Usage()
        if now >= self._measured_s + USAGE_KEPT_S:
            self._usage, self._measured_s = self.engine.usage(), now
        return self._usage

    def arrive(self, loaded: frames.Loaded) -> None:
        """Its model is resident."""
        self.loaded, self.progress, self.detail = loaded, None, ""
        self._measured_s = -math.inf


class Effects:
    """`perform` is everything the scheduler can do to the world.

    `post` takes the events that frames are, `answer` the ends of requests; `changed` is called where a change is
    no event. `shelf` is the one on which the engines park, where they can.
    """

    def __init__(
        self,
        models: Sequence[str],
        make_engine: MakeEngine,
        desk: Desk,
        *,
        post: Callable[[Event], None],
        answer: Callable[[End], None],
        changed: Callable[[], None],
        clock: Callable[[], float],
        shelf: Shelf | None = None,
    ) -> None:
        self.jobs: dict[int, Job] = {}
        """What each open request asks of an engine, and what was parked of it."""
        self.seats = {model: Seat() for model in models}
        self.quiet = asyncio.Event()
        """Set while no engine is left."""
        self.quiet.set()
        self._make_engine = make_engine
        self._desk = desk
        self._post = post
        self._answer = answer
        self._changed = changed
        self._clock = clock
        self._shelf = shelf

    def perform(self, action: Action) -> None:
        """Do what the scheduler wishes. What has become pointless meanwhile is left undone."""
        match action:
            case Start():
                self._start(action)
            case Stop() | Park() | Pause() | Unpause() | Unload():
                if engine := self.seats[action.model].engine:
                    _ask(engine, action)
            case End():
                self._keep_parked(action.request_id, None)
                self._answer(action)
            case Load(model):
                self._load(model)
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
        self.seats = {model: Seat() for model in self.seats}
        self.quiet.set()

    def _start(self, action: Start) -> None:
        ticket = self._desk.find(action.request_id)
        engine = self.seats[action.model].engine
        if ticket is None or engine is None:
            return  # it died just now, and the scheduler is about to hear of it
        job = self.jobs[action.request_id]
        self.jobs[action.request_id] = msgspec.structs.replace(job, parked=None)
        engine.submit(
            msgspec.structs.replace(
                job,
                urgency=action.urgency,
                slack_s=action.slack_s,
                gap_s=action.gap_s,
                alone=action.alone,
                sent=ticket.sent,
            )
        )

    def _load(self, model: str) -> None:
        seat = self.seats[model]
        engine = self._make_engine(model, lambda frame: self._hear(model, engine, frame))
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
                self._changed()
            case frames.Loaded():
                seat.arrive(frame)
            case frames.LoadFailed() | frames.Died():
                log.warning("%s: %s", model, frame.detail)
                self._leave(model, frame.detail)
            case frames.Unloaded():
                self._leave(model, "")
            case frames.Prepared():
                pass
            case _:
                assert_never(frame)
        if event := event_of(model, frame):
            self._post(event)

    def _leave(self, model: str, detail: str) -> None:
        self.seats[model] = Seat(detail=detail)
        if not any(seat.engine for seat in self.seats.values()):
            self.quiet.set()

    def _feed(self, frame: frames.Stepped) -> None:
        now = self._clock()
        for given in frame.emitted:
            if ticket := self._desk.find(given.request_id):
                ticket.feed(given, now)

    def _finish(self, frame: frames.Stopped) -> None:
        if frame.parked:
            self._keep_parked(frame.request_id, frame.parked.handle)
        ticket = self._desk.find(frame.request_id)
        if ticket and frame.halt not in _TO_GO_ON:
            ticket.finish(frame)

    def _keep_parked(self, request_id: int, handle: int | None) -> None:
        """Keep what was parked last, and drop what was before; of a request that has ended nothing is kept."""
        job = self.jobs.get(request_id)
        pointless = handle if job is None else job.parked
        if job is not None:
            self.jobs[request_id] = msgspec.structs.replace(job, parked=handle)
        if self._shelf is not None and pointless is not None:
            self._shelf.drop(pointless)


def _ask(engine: Engine, action: Stop | Park | Pause | Unpause | Unload) -> None:
    """Ask something of an engine that is there."""
    match action:
        case Stop(request_id):
            engine.stop(request_id)
        case Park(request_id):
            engine.park(request_id)
        case Pause(_, below, progress_s):
            engine.pause(below, progress_s)
        case Unpause():
            engine.unpause()
        case Unload():
            engine.unload()
