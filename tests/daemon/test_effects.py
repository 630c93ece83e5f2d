"""What becomes of parked KV: the request's next job names it, whichever engine gets that, until the request ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from daemon.effects import Effects
from daemon.tickets import Desk, Ticket
from engines import engine as frames
from engines.engine import Frame, Job, Parked, Plain, Receive
from engines.fake import FakeEngine
from engines.fake_knobs import Knobs, steady
from engines.shelf import Shelf
from policies.messages import (
    End,
    Event,
    Halt,
    Load,
    Loaded,
    Outcome,
    Reason,
    Start,
    Stepped,
    Stopped,
    Unload,
    Unloaded,
)

SLOW = Knobs(step_s=steady(tokens_per_s=200.0), script=lambda _job: " a b c d e f g h")
TIMEOUT_S = 20


class World:
    """Effects over fake engines that park on one shelf, and what they post."""

    def __init__(self) -> None:
        self.shelf = Shelf(1 << 20)
        self.desk = Desk()
        self.engines: list[FakeEngine] = []
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.frames: list[Frame] = []
        self.effects = Effects(
            ["m"],
            self._make,
            self.desk,
            post=self.events.put_nowait,
            answer=self._answer,
            changed=lambda: None,
            clock=lambda: 0.0,
            shelf=self.shelf,
        )

    def _make(self, _model: str, receive: Receive) -> FakeEngine:
        def hear(frame: Frame) -> None:
            self.frames.append(frame)
            receive(frame)

        self.engines.append(FakeEngine(hear, SLOW, shelf=self.shelf))
        return self.engines[-1]

    def _answer(self, end: End) -> None:
        """As the orchestrator does."""
        del self.effects.jobs[end.request_id]
        self.desk.close(end.request_id, end.outcome, end.reason, 0.0)

    def open(self) -> Ticket:
        number = self.desk.take_number()
        self.effects.jobs[number] = Job(number, Plain("one two three"), 100)
        return self.desk.add(Ticket(number, "m", 0.0, lambda _number, _reason: None))

    async def until(self, kind: type[Event]) -> Event:
        async with asyncio.timeout(TIMEOUT_S):
            while not isinstance(event := await self.events.get(), kind):
                pass
        return event

    async def load(self) -> None:
        self.effects.perform(Load("m"))
        await self.until(Loaded)

    async def park(self, ticket: Ticket) -> Parked:
        """Start a request, and park it when it has a token."""
        self.start(ticket)
        await self.until(Stepped)
        self.engines[-1].park(ticket.id)
        assert await self.until(Stopped) == Stopped(ticket.id, Halt.PARKED)
        stopped = self.frames[-1]
        assert isinstance(stopped, frames.Stopped)
        assert stopped.parked is not None
        return stopped.parked

    def start(self, ticket: Ticket) -> None:
        self.effects.perform(Start(ticket.id, "m", urgency=0.0, slack_s=0.0))

    def end(self, ticket: Ticket) -> None:
        self.effects.perform(End(ticket.id, Outcome.CANCELLED, Reason.CLIENT))


def play(scene: Callable[[World], Awaitable[None]]) -> None:
    """Run a scene with a loaded engine; nothing is left on the shelf."""

    async def run() -> None:
        world = World()
        await world.load()
        await scene(world)
        world.effects.kill_all()
        assert len(world.shelf) == 0

    asyncio.run(run())


def test_a_parked_request_goes_on_behind_what_it_has_in_another_engine() -> None:
    """Nothing is computed twice, nothing is repeated, and what was parked is used up."""

    async def scene(world: World) -> None:
        ticket = world.open()
        await world.park(ticket)
        world.effects.perform(Unload("m"))
        await world.until(Unloaded)
        await world.load()
        world.start(ticket)
        assert len(world.shelf) == 0
        stopped = await world.until(Stopped)
        assert stopped == Stopped(ticket.id, Halt.DONE)
        world.effects.perform(End(ticket.id, Outcome.DONE, Reason.COMPLETE))
        result = await ticket.result()
        assert result.text == " a b c d e f g h"
        assert result.timings.cached_tokens == 3

    play(scene)


def test_what_was_parked_of_a_request_that_ends_is_dropped() -> None:
    """Nobody will ask for it."""

    async def scene(world: World) -> None:
        ticket = world.open()
        parked = await world.park(ticket)
        assert world.shelf.find(parked.handle) is not None
        world.end(ticket)
        assert world.shelf.find(parked.handle) is None

    play(scene)


def test_what_is_parked_of_a_request_that_has_ended_is_dropped() -> None:
    """Its end crossed the parking."""

    async def scene(world: World) -> None:
        ticket = world.open()
        world.start(ticket)
        await world.until(Stepped)
        world.engines[-1].park(ticket.id)
        world.end(ticket)
        await world.until(Stopped)
        assert world.frames[-1].parked is not None
        assert len(world.shelf) == 0

    play(scene)


def test_only_the_latest_is_kept() -> None:
    """A request that is parked again has more; what it had before is of no use."""

    async def scene(world: World) -> None:
        ticket = world.open()
        first = await world.park(ticket)
        second = await world.park(ticket)
        assert second.tokens > first.tokens
        assert len(world.shelf) == 1
        assert world.effects.jobs[ticket.id].parked == second.handle
        world.end(ticket)

    play(scene)


def test_without_a_worker_to_start_it_what_was_parked_stays() -> None:
    """The start came too late, and the scheduler will try again."""

    async def scene(world: World) -> None:
        ticket = world.open()
        parked = await world.park(ticket)
        world.effects.perform(Unload("m"))
        await world.until(Unloaded)
        world.start(ticket)
        assert world.effects.jobs[ticket.id].parked == parked.handle
        assert world.shelf.find(parked.handle) is not None
        world.end(ticket)

    play(scene)
