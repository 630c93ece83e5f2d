"""An engine that runs no model: it keeps the contract, takes the time its knobs say, and writes what its script says.

It steps as the real worker does, by the very `policies.planner`: one rectangle at a time, broken off for something
more urgent where the knobs allow it, all of a step's tokens in one frame. Tests use it with asyncio's timers, the
simulator with virtual ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engines import engine as frames
from engines.engine import Emitted, Job, Receive, Timings, Usage
from engines.fake_knobs import Knobs
from engines.fake_task import Task, begin
from engines.fake_text import common, save, take_saved
from engines.shelf import Shelf
from policies.messages import Halt
from policies.pace import worth_aborting
from policies.planner import Planned, Planner

_PROMPTS_KEPT = 16


class Handle(Protocol):
    """A timer that can be called off."""

    def cancel(self) -> None:
        """Call it off; harmless when it has fired."""


class Timers(Protocol):
    """What the engine needs of an event loop; asyncio's fits."""

    def time(self) -> float:
        """Seconds since some fixed moment."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Handle:
        """Call back once, after so many seconds."""


@dataclass(frozen=True, slots=True)
class _Running:
    """The step that runs."""

    planned: Planned
    began_s: float
    committed: bool
    timer: int


class FakeEngine:
    """Implements `engines.engine.Engine`. Without a `shelf` nothing can be parked."""

    def __init__(
        self,
        receive: Receive,
        knobs: Knobs | None = None,
        timers: Timers | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        self._receive = receive
        self._knobs = knobs or Knobs()
        self._timers_given = timers
        self._shelf = shelf
        self._timers: dict[int, Handle] = {}
        self._next_timer = 0
        self._planner: Planner | None = None
        """While it is loaded."""
        self._waiting: dict[int, Task] = {}
        self._active: dict[int, Task] = {}
        self._kept: list[tuple[int, ...]] = []
        self._running: _Running | None = None
        self._rests: int | None = None
        """The timer that ends a rest of all that is inside."""
        self._steps = 0

    def load(self) -> None:
        """Begin to load."""
        self._later(0.0, lambda: self._receive(frames.Loading(0.0, "fake")))
        self._later(self._knobs.load_s, self._finish_load)

    def submit(self, job: Job) -> None:
        """Take a job."""
        saved = take_saved(self._shelf, job.parked)
        task = begin(job, self._knobs.script(job), saved, self._clock.time())
        if len(task.prompt) >= self._knobs.context_tokens:
            self._later(0.0, lambda: self._refuse(task))
            return
        self._waiting[job.request_id] = task
        self._later(0.0, lambda: self._prepare(task))

    def stop(self, request_id: int) -> None:
        """Take a job back, at the end of the step if it is inside one."""
        self._take_back(request_id, Halt.STOPPED)

    def park(self, request_id: int) -> None:
        """Take a job back, and keep its tokens on the shelf."""
        self._take_back(request_id, Halt.PARKED)

    def pause(self, below: float, progress_s: float) -> None:
        """Let lesser work rest; as in the worker, the step that runs may be broken off for it."""
        if planner := self._planner:
            planner.pause(below=below, progress_s=progress_s, now=self._clock.time())
            self._hurry(below)

    def unpause(self) -> None:
        """Let everything go on."""
        if self._planner:
            self._planner.unpause()
            self._later(0.0, self._go_on)

    def unload(self) -> None:
        """End as asked."""
        self.kill()
        self._later(0.0, lambda: self._receive(frames.Unloaded()))

    def usage(self) -> Usage:
        """What the knobs say, while it is loaded."""
        return Usage(private_bytes=self._knobs.used_bytes if self._planner else 0)

    def kill(self) -> None:
        """End at once, without a frame."""
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        self._waiting.clear()
        self._active.clear()
        self._kept.clear()
        self._planner = self._running = None

    def _take_back(self, request_id: int, halt: Halt) -> None:
        if task := self._active.get(request_id) or self._waiting.get(request_id):
            task.leaving = halt
            self._later(0.0, self._go_on)

    # --- the worker's side ------------------------------------------------------------------------------

    def _finish_load(self) -> None:
        knobs = self._knobs
        if knobs.dies_loading:
            self._die(())
            return
        if knobs.load_fails:
            self._receive(frames.LoadFailed("the fake engine was told to fail"))
            return
        self._planner = Planner(
            budget_tokens=knobs.budget_tokens,
            quantum_s=knobs.quantum_s,
            can_abort=knobs.can_abort,
        )
        self._receive(
            frames.Loaded(
                rung="fake",
                sequences=knobs.sequences,
                context_tokens=knobs.context_tokens,
                load_s=knobs.load_s,
                used_bytes=knobs.used_bytes,
                fim=True,
                chat=True,
                architecture="fake",
                can_shift=False,
                can_abort=knobs.can_abort,
            )
        )
        self._go_on()

    def _refuse(self, task: Task) -> None:
        tokens, context = len(task.prompt), self._knobs.context_tokens
        detail = f"the prompt has {tokens} tokens, the model's context {context}"
        timings = Timings(prompt_tokens=tokens)
        self._receive(
            frames.Stopped(
                task.job.request_id, Halt.INVALID, timings=timings, detail=detail, too_long=True
            )
        )

    def _prepare(self, task: Task) -> None:
        cached = self._cached(task)
        self._receive(frames.Prepared(task.job.request_id, len(task.prompt), cached))
        self._hurry(task.job.urgency)
        self._go_on()

    def _cached(self, task: Task) -> int:
        """How much of its prompt is in the cache; the last token is always evaluated, for its logits."""
        known = (task.restored, *self._kept)
        longest = max(common(task.prompt, tokens) for tokens in known)
        return min(longest, max(0, len(task.prompt) - 1))

    def _go_on(self) -> None:
        """Between two steps: let go who was stopped, take who fits, begin the next step."""
        if self._running or not self._planner:
            return
        for task in (*self._waiting.values(), *self._active.values()):
            if task.leaving:
                self._leave(task, task.leaving)
        self._take(self._planner)
        if self._active or self._waiting:
            self._begin_step(self._planner)

    def _take(self, planner: Planner) -> None:
        """Give idle sequences to those who wait and may step, the most urgent first."""
        idle, now = self._knobs.sequences - len(self._active), self._clock.time()
        first = sorted(
            (task for task in self._waiting.values() if planner.allows(task.job.urgency, now)),
            key=lambda task: (-task.job.urgency, task.job.request_id),
        )
        for task in first[:idle]:
            number = task.job.request_id
            self._active[number] = self._waiting.pop(number)
            task.begin(self._cached(task), now)

    # --- a step -----------------------------------------------------------------------------------------

    def _begin_step(self, planner: Planner) -> None:
        now = self._clock.time()
        rows = [task.row(now) for task in self._active.values()]
        planned = planner.next(rows, idle_rows=self._knobs.sequences - len(rows), now=now)
        if not planned.shares:
            self._rest(planner.due_s - now)
            return
        self._steps += 1
        lasts_s = self._knobs.step_s(
            rows=_rows(planned),
            tokens_each=planned.tokens_each,
            longest_cells=planned.longest_cells,
        )
        timer = self._later(lasts_s, lambda: self._end_step(planner, planned, lasts_s))
        self._running = _Running(planned, now, planner.may_abort(planned), timer)

    def _rest(self, rest_s: float) -> None:
        """All that is inside is paused: go on when a step of it is due."""
        if self._rests in self._timers:
            self._timers.pop(self._rests).cancel()
        self._rests = self._later(rest_s, self._go_on)

    def _hurry(self, urgency: float) -> None:
        """Break off the running step for a job that came, if that is worth it."""
        running, planner = self._running, self._planner
        if not (self._knobs.can_abort and running and planner and running.timer in self._timers):
            return
        worth = worth_aborting(
            running_urgency=running.planned.urgency,
            newcomer_urgency=urgency,
            elapsed_s=self._clock.time() - running.began_s,
            predicted_s=running.planned.predicted_s,
            quantum_s=self._knobs.quantum_s,
            committed_since_abort=running.committed,
        )
        if worth:
            self._timers.pop(running.timer).cancel()
            self._later(self._knobs.abort_s, lambda: self._end_aborted(planner, running.planned))

    def _end_aborted(self, planner: Planner, planned: Planned) -> None:
        """Nothing of the step stays."""
        self._running = None
        planner.aborted(planned)
        self._go_on()

    def _end_step(self, planner: Planner, planned: Planned, lasted_s: float) -> None:
        inside = [self._active[share.id] for share in planned.shares]
        if self._dies(inside):
            self._die(tuple(task.job.request_id for task in inside))
            return
        self._running = None
        planner.ran(planned, rows=_rows(planned), duration_s=lasted_s, now=self._clock.time())
        prefilled, emitted = 0, []
        for task in inside:
            given, tokens = self._advance(task, planned.tokens_each)
            prefilled += tokens
            emitted += given
        if prefilled or emitted:
            used = sum(task.held for task in self._active.values())
            self._receive(frames.Stepped(tuple(emitted), prefilled, lasted_s, used))
        for task in inside:
            if task.over:
                self._leave(task, Halt.DONE)
        self._go_on()

    def _advance(self, task: Task, tokens: int) -> tuple[list[Emitted], int]:
        """Evaluate some of its tokens; what it emits for it, and how many of them were its prompt's."""
        decoding = task.first_s is not None and task.waiting_tokens == 1
        task.held += tokens
        given = None if task.waiting_tokens else task.draw(self._clock.time())
        return [given] if given else [], 0 if decoding else tokens

    def _dies(self, inside: list[Task]) -> bool:
        deadly = self._knobs.dies_inside
        poisoned = deadly is not None and any(deadly(task.job) for task in inside)
        return poisoned or self._steps == self._knobs.dies_at_step

    def _die(self, inside: tuple[int, ...]) -> None:
        self.kill()
        self._receive(frames.Died(inside, "the fake engine was told to die"))

    def _leave(self, task: Task, halt: Halt) -> None:
        request_id = task.job.request_id
        (self._active if request_id in self._active else self._waiting).pop(request_id)
        parked = None
        if task.held:
            self._kept = [task.kept, *self._kept][:_PROMPTS_KEPT]
        if halt is Halt.PARKED:
            parked = save(self._shelf, task.kept)
        stop = task.stop if halt is Halt.DONE else None
        timings = task.timings(self._clock.time())
        self._receive(frames.Stopped(request_id, halt, stop, timings=timings, parked=parked))

    # --- time -------------------------------------------------------------------------------------------

    @property
    def _clock(self) -> Timers:
        return self._timers_given or asyncio.get_running_loop()

    def _later(self, delay_s: float, callback: Callable[[], None]) -> int:
        number, self._next_timer = self._next_timer, self._next_timer + 1

        def fire() -> None:
            del self._timers[number]
            callback()

        self._timers[number] = self._clock.call_later(delay_s, fire)
        return number


def _rows(planned: Planned) -> int:
    """Rows of the step, those that only pad it included."""
    return len(planned.shares) + planned.step.pads
