"""A workstation in virtual time: engines that share one device, a shelf for what is parked, streams in closed loops.

Approximation: a step takes as many times its time as there are engines inside a step when it begins, its own
included, and keeps that pace to its end: who begins beside others pays for all of it, who was there first for none.
Parking itself costs no time (on a real machine, milliseconds).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from daemon.journal import Journal
from engines import engine as frames
from engines.engine import Frame, Job
from engines.fake import FakeEngine
from engines.fake_knobs import StepTime
from engines.shelf import Shelf
from policies.messages import Cancelled, Halt, Start
from policies.scheduler import Scheduler
from tests.sim.people import People
from tests.sim.simulator import Scene, Simulation


class Forgetful(FakeEngine):
    """Keeps nothing of who makes way: it will be evaluated again."""

    def _leave(self, task, halt) -> None:
        if halt is Halt.PARKED:
            task.held = 0
        super()._leave(task, halt)


class Workstation(Simulation):
    """One scene, in which `streams` of each model never end, until everybody leaves at `closes_s`."""

    def __init__(
        self,
        scene: Scene,
        scheduler: Scheduler,
        people: People,
        *,
        streams: Mapping[str, int],
        closes_s: float,
        engine: type[FakeEngine] = FakeEngine,
        check: bool = False,
    ) -> None:
        super().__init__(scene, check=check, scheduler=scheduler)
        self._people = people
        self._streams = streams
        self._closes_s = closes_s
        self._engine = engine
        self._shelf = Shelf(1 << 40)
        self._parked: dict[int, int] = {}
        """Handles, by request."""

    def run(self) -> Journal:
        for model, count in self._streams.items():
            for _ in range(count):
                self._asks_on(model)
        self.timers.call_later(self._closes_s, self._close)
        journal = super().run()
        for handle in self._parked.values():
            self._shelf.drop(handle)
        return journal

    def _asks_on(self, model: str) -> None:
        event = self._people.background(model)
        self.timers.call_later(0.0, lambda: self._handle(event))

    def _ask_again(self, ended: int) -> None:
        """A stream goes on; people ask when they like."""
        request = self._requests.get(ended)
        open_ = self.timers.time() < self._closes_s
        if open_ and request and request.client.startswith("index"):
            self._asks_on(request.model)

    def _close(self) -> None:
        """Everybody goes; who has had his answer is not asked."""
        for number in tuple(self._requests):
            self._handle(Cancelled(number))

    def _load(self, model: str) -> None:
        load = self._loads[model] = self._loads.get(model, 0) + 1
        knobs = self.scene.knobs(model, load)
        knobs = replace(knobs, script=self._script, step_s=self._shared(knobs.step_s))
        engine = self._engine(
            lambda frame: self._report(engine, model, frame), knobs, self.timers, self._shelf
        )
        self._engines[model] = engine
        engine.load()

    def _shared(self, alone: StepTime) -> StepTime:
        def step_s(*, rows: int, tokens_each: int, longest_cells: int) -> float:
            inside = 1 + sum(engine._running is not None for engine in self._engines.values())
            return inside * alone(rows=rows, tokens_each=tokens_each, longest_cells=longest_cells)

        return step_s

    def _report(self, engine: FakeEngine, model: str, frame: Frame) -> None:
        if isinstance(frame, frames.Stopped) and frame.parked:
            self._parked[frame.request_id] = frame.parked.handle
        super()._report(engine, model, frame)

    def _job(self, start: Start) -> Job:
        return msgspec.structs.replace(
            super()._job(start), parked=self._parked.pop(start.request_id, None)
        )
