"""An engine that runs no model: it keeps the contract, takes the time its knobs say, and writes what its script says.

It steps as the real one does: one step at a time, a chunk of prefill beside every running decode, all of a step's
tokens in one frame. Tests use it with asyncio's timers, the simulator with virtual ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engines import engine as frames
from engines.engine import Job, Receive, StopType, Timings, Usage
from engines.fake_text import answer, common, number, save, take_saved, text_of, tokenise
from engines.shelf import Shelf
from policies.messages import Halt

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


def write_words(job: Job) -> str:
    """Text that depends on nothing but the job's number: twelve words."""
    return "".join(f" word{job.request_id}_{n}" for n in range(12))


@dataclass(frozen=True, slots=True)
class Knobs:
    """How the engine behaves. Speeds are tokens per second, times seconds, sizes bytes."""

    load_s: float = 0.0
    tokens_per_s: float = 1_000.0
    """Decode speed of one request alone."""
    contention: float = 0.1
    """By how much each further request lengthens a decode step."""
    prefill_tokens_per_s: float = 20_000.0
    chunk_tokens: int = 256
    step_tokens: int = 1
    """Tokens a request gets in one step."""
    sequences: int = 4
    context_tokens: int = 8_192
    cells: int | None = None
    """How much all requests together may keep in the cache; past it the least urgent, latest one is evicted."""
    used_bytes: int = 0
    load_fails: bool = False
    dies_loading: bool = False
    dies_at_step: int | None = None
    """The worker dies inside its n-th step, counted from 1."""
    dies_inside: Callable[[Job], bool] | None = None
    """The worker dies inside any step that holds such a job."""
    script: Callable[[Job], str] = write_words

    def step_s(self, prefilled_tokens: int, decoding: int) -> float:
        """How long a step takes that evaluates so much of a prompt beside so many decodes."""
        prefill_s = prefilled_tokens / self.prefill_tokens_per_s
        if not decoding:
            return prefill_s
        slower = 1 + self.contention * (decoding - 1)
        return prefill_s + self.step_tokens * slower / self.tokens_per_s


@dataclass(slots=True, eq=False)
class _Task:
    """A job inside the engine."""

    job: Job
    prompt: tuple[int, ...]
    pieces: tuple[str, ...]
    stop: StopType
    submitted_s: float
    restored: int = 0
    """Prompt tokens that were parked."""
    cached: int = 0
    evaluated: int = 0
    """Prompt tokens in the cache."""
    emitted: int = 0
    leaving: Halt | None = None
    """How it is to leave before it is done."""
    begun_s: float | None = None
    first_s: float | None = None

    @property
    def prefilling(self) -> bool:
        return self.evaluated < len(self.prompt)


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
        self._waiting: list[_Task] = []
        self._active: list[_Task] = []
        self._kept: list[tuple[int, ...]] = []
        self._loaded = False
        self._stepping = False
        self._steps = 0

    def load(self) -> None:
        """Begin to load."""
        self._later(0.0, lambda: self._receive(frames.Loading(0.0, "fake")))
        self._later(self._knobs.load_s, self._finish_load)

    def submit(self, job: Job) -> None:
        """Take a job."""
        prompt = tokenise(text_of(job.prompt))
        if len(prompt) >= self._knobs.context_tokens:
            self._later(0.0, lambda: self._refuse(job, len(prompt)))
            return
        pieces, stop = answer(job, self._knobs.script(job))
        sent = tuple(map(number, pieces[: len(job.sent)]))
        task = _Task(job, prompt + sent, pieces[len(job.sent) :], stop, self._clock.time())
        task.restored = common(task.prompt, take_saved(self._shelf, job.parked))
        self._waiting.append(task)
        self._waiting.sort(key=lambda task: -task.job.urgency)
        self._later(0.0, lambda: self._prepare(task))

    def stop(self, request_id: int) -> None:
        """Take a job back, at the end of the step if it is inside one."""
        self._take_back(request_id, Halt.STOPPED)

    def park(self, request_id: int) -> None:
        """Take a job back, and keep its tokens on the shelf."""
        self._take_back(request_id, Halt.PARKED)

    def unload(self) -> None:
        """End as asked."""
        self.kill()
        self._later(0.0, lambda: self._receive(frames.Unloaded()))

    def usage(self) -> Usage:
        """What the knobs say, while it is loaded."""
        return Usage(private_bytes=self._knobs.used_bytes if self._loaded else 0)

    def kill(self) -> None:
        """End at once, without a frame."""
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        self._waiting.clear()
        self._active.clear()
        self._kept.clear()
        self._loaded = self._stepping = False

    def _take_back(self, request_id: int, halt: Halt) -> None:
        for task in (*self._waiting, *self._active):
            if task.job.request_id == request_id:
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
        self._loaded = True
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
                can_abort=False,
            )
        )
        self._go_on()

    def _refuse(self, job: Job, prompt_tokens: int) -> None:
        context = self._knobs.context_tokens
        detail = f"the prompt has {prompt_tokens} tokens, the model's context {context}"
        timings = Timings(prompt_tokens=prompt_tokens)
        self._receive(
            frames.Stopped(
                job.request_id, Halt.INVALID, timings=timings, detail=detail, too_long=True
            )
        )

    def _prepare(self, task: _Task) -> None:
        cached = self._cached(task)
        self._receive(frames.Prepared(task.job.request_id, len(task.prompt), cached))
        self._go_on()

    def _cached(self, task: _Task) -> int:
        """How much of its prompt is in the cache; the last token is always evaluated, for its logits."""
        longest = max([task.restored, *(common(task.prompt, kept) for kept in self._kept)])
        return min(longest, max(0, len(task.prompt) - 1))

    def _go_on(self) -> None:
        """Between two steps: let go who was stopped, take who fits, begin the next step."""
        if self._stepping or not self._loaded:
            return
        for task in (*self._waiting, *self._active):
            if task.leaving:
                self._leave(task, task.leaving)
        self._take()
        if self._active:
            self._begin_step()

    def _take(self) -> None:
        while self._waiting and len(self._active) < self._knobs.sequences:
            task = self._waiting[0]
            if self._active and (task.job.alone or self._active[0].job.alone):
                return
            self._active.append(self._waiting.pop(0))
            task.cached = task.evaluated = self._cached(task)
            task.begun_s = self._clock.time()

    def _begin_step(self) -> None:
        self._stepping = True
        self._steps += 1
        chunk = 0
        prefilled = next((task for task in self._active if task.prefilling), None)
        if prefilled:
            chunk = min(self._knobs.chunk_tokens, len(prefilled.prompt) - prefilled.evaluated)
        decoding = [task for task in self._active if not task.prefilling]
        if prefilled and chunk == len(prefilled.prompt) - prefilled.evaluated:
            decoding.append(prefilled)  # the end of a prompt gives its first token
        duration_s = self._knobs.step_s(chunk, len(decoding))
        inside = decoding if prefilled in decoding or not prefilled else [*decoding, prefilled]
        self._later(
            duration_s, lambda: self._end_step(prefilled, chunk, decoding, inside, duration_s)
        )

    def _end_step(
        self,
        prefilled: _Task | None,
        chunk: int,
        decoding: list[_Task],
        inside: list[_Task],
        duration_s: float,
    ) -> None:
        if self._dies(inside):
            self._die(tuple(task.job.request_id for task in inside))
            return
        self._stepping = False
        if prefilled:
            prefilled.evaluated += chunk
        emitted = tuple(self._emit(task) for task in decoding if task.pieces)
        self._receive(frames.Stepped(emitted, chunk, duration_s, self._used_cells()))
        for task in decoding:
            if task.emitted >= len(task.pieces) or self._is_overdue(task):
                self._leave(task, Halt.DONE)
        self._evict()
        self._go_on()

    def _used_cells(self) -> int:
        return sum(task.evaluated + task.emitted for task in self._active)

    def _evict(self) -> None:
        """Take the cells of some where there are too few for all; the last one keeps what it has."""
        cells = self._knobs.cells
        while cells is not None and self._used_cells() > cells and len(self._active) > 1:
            self._leave(
                min(reversed(self._active), key=lambda task: task.job.urgency), Halt.EVICTED
            )

    def _die(self, inside: tuple[int, ...]) -> None:
        self.kill()
        self._receive(frames.Died(inside, "the fake engine was told to die"))

    def _dies(self, inside: list[_Task]) -> bool:
        knobs = self._knobs
        poisoned = knobs.dies_inside is not None and any(
            map(knobs.dies_inside, (t.job for t in inside))
        )
        return poisoned or self._steps == knobs.dies_at_step

    def _emit(self, task: _Task) -> frames.Emitted:
        if task.first_s is None:
            task.first_s = self._clock.time()
        pieces = task.pieces[task.emitted : task.emitted + self._knobs.step_tokens]
        task.emitted += len(pieces)
        tokens = tuple(map(number, pieces))
        return frames.Emitted(task.job.request_id, tokens, "".join(pieces), 0.0)

    def _is_overdue(self, task: _Task) -> bool:
        limit_s = task.job.predict_s_max
        if limit_s is None or task.first_s is None or self._clock.time() - task.first_s < limit_s:
            return False
        task.stop = StopType("limit")
        return True

    def _leave(self, task: _Task, halt: Halt) -> None:
        (self._active if task in self._active else self._waiting).remove(task)
        if task.evaluated:
            self._kept = [task.prompt[: task.evaluated], *self._kept][:_PROMPTS_KEPT]
        stop = task.stop if halt is Halt.DONE else None
        parked = None
        if halt in (Halt.PARKED, Halt.EVICTED):
            written = tuple(map(number, task.pieces[: task.emitted]))
            parked = save(self._shelf, task.prompt[: task.evaluated] + written)
        timings = self._timings(task)
        self._receive(
            frames.Stopped(task.job.request_id, halt, stop, timings=timings, parked=parked)
        )

    def _timings(self, task: _Task) -> Timings:
        now = self._clock.time()
        begun = now if task.begun_s is None else task.begun_s
        first = now if task.first_s is None else task.first_s
        return Timings(
            prompt_tokens=len(task.prompt) - len(task.job.sent),
            cached_tokens=min(task.cached, len(task.prompt) - len(task.job.sent)),
            emitted_tokens=task.emitted + len(task.job.sent),
            queued_ms=(begun - task.submitted_s) * 1e3,
            prompt_ms=(first - begun) * 1e3,
            predict_ms=(now - first) * 1e3,
        )

    # --- time -------------------------------------------------------------------------------------------

    @property
    def _clock(self) -> Timers:
        return self._timers_given or asyncio.get_running_loop()

    def _later(self, delay_s: float, callback: Callable[[], None]) -> None:
        number, self._next_timer = self._next_timer, self._next_timer + 1

        def fire() -> None:
            del self._timers[number]
            callback()

        self._timers[number] = self._clock.call_later(delay_s, fire)
