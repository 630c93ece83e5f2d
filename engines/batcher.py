"""The step loop: jobs wait for a sequence, run, and end.

One thread owns it; only `hurry` and `cached_tokens` may be called from another.

Rule 1. A job is admitted when a sequence is idle. A sequence has cells of its own for a prompt and all of its tokens
        (ENGINE.md 6), so nobody's running is ever the reason that another has no room.
Rule 2. `policies.planner` says what a step evaluates; what came of it is known only from the cache's ledger.
Rule 3. A step that was broken off is planned anew: what its sub-batches finished stays (ENGINE.md 10, 11).
Rule 4. A batch that is refused, for whatever reason, is tried again one job at a time; who fails alone ends `failed`
        (ENGINE.md 8).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from engines.cache import Cache, Parking
from engines.constraint import MatcherError
from engines.engine import Emitted, Parked, Stepped, Stopped, StopType, Timings
from engines.interrupt import Interrupt
from engines.llama import ABORTED, DECODED, NO_ROOM, Context, Feed, Model
from engines.run import Arrival, Run, start
from engines.selftest import Abilities
from policies.messages import Halt
from policies.planner import Planned, Planner
from policies.step import Row

Clock = Callable[[], float]
Told: TypeAlias = Stepped | Stopped
"""What the daemon is told."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a batcher works."""

    running_max: int
    """Jobs that may run at once."""
    budget_tokens: int
    """The most tokens of one step."""
    abilities: Abilities
    quantum_s: float = 0.05
    reuse_shifted: bool = True
    kept_bytes: int = 64 * 2**20
    """Host memory for prompts that lost their sequence."""


@dataclass(slots=True)
class _Output:
    """What a step has to say."""

    frames: list[Told] = field(default_factory=list)
    emitted: list[Emitted] = field(default_factory=list)
    prefilled: int = 0


class Batcher:
    """Runs jobs in one context. Without `parking`, what a parked job has computed is lost."""

    def __init__(
        self,
        model: Model,
        context: Context,
        terms: Terms,
        *,
        parking: Parking | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._model = model
        self._context = context
        self._terms = terms
        self._parking = parking
        self._clock = clock
        can = terms.abilities
        self._cache = Cache(
            context,
            can_trim=can.trim,
            can_shift=can.shift and terms.reuse_shifted,
            kept_bytes=terms.kept_bytes,
        )
        self._planner = Planner(
            budget_tokens=terms.budget_tokens, quantum_s=terms.quantum_s, can_abort=can.abort
        )
        self._interrupt = Interrupt(context, quantum_s=terms.quantum_s, clock=clock)
        self._idle = list(range(context.sequences))
        """Sequences nobody runs in, oldest use first; most still hold a prompt that ended."""
        self._runs: dict[int, Run] = {}
        self._waiting: dict[int, Arrival] = {}
        self._planned: Planned | None = None
        """The next step, from when `aboard` has told of it."""

    @property
    def busy(self) -> bool:
        """Whether any job is inside."""
        return bool(self._runs or self._waiting)

    @property
    def rest_s(self) -> float | None:
        """How long there will be nothing to step: 0 where there is something, None until a job comes or a pause ends."""
        if not self.busy:
            return None
        now = self._clock()
        inside = [run.job.urgency for run in self._runs.values()]
        if len(inside) < self._terms.running_max:
            inside += [waiting.job.urgency for waiting in self._waiting.values()]
        if any(self._planner.allows(urgency, now) for urgency in inside):
            return 0.0
        return max(0.0, self._planner.due_s - now)

    @property
    def cache(self) -> Cache:
        """The cache, for questions only."""
        return self._cache

    def cached_tokens(self, tokens: Sequence[int]) -> int:
        """Return how much of a prompt is in the cache. Safe in any thread, and so an estimate."""
        return self._cache.cached_tokens(list(tokens))

    def hurry(self, urgency: float) -> bool:
        """Something that urgent wants the cores: break off the running step, if that is worth it. Safe in any thread."""
        return self._interrupt.hurry(urgency)

    def pause(self, below: float, progress_s: float) -> None:
        """Let what is less urgent rest, but for a step of it in `progress_s` (policies/hush.py)."""
        self._planner.pause(below=below, progress_s=progress_s, now=self._clock())
        self._planned = None

    def unpause(self) -> None:
        """Let everything go on."""
        self._planner.unpause()
        self._planned = None

    def submit(self, arrival: Arrival) -> None:
        """Take a job whose prompt is laid out."""
        self._waiting[arrival.job.request_id] = arrival
        self._planned = None

    def stop(self, request_id: int) -> list[Told]:
        """Take a job back; its sequence is free when this returns."""
        return self._take_back(request_id, Halt.STOPPED)

    def park(self, request_id: int) -> list[Told]:
        """Take a job back and keep what it has computed, if there is anything and a place for it."""
        run, parked = self._runs.get(request_id), None
        if run and self._parking:
            parked = self._cache.park(run.sequence, self._parking)
        return self._take_back(request_id, Halt.PARKED, parked)

    def aboard(self) -> tuple[int, ...]:
        """Admit what can be admitted, and say who shares the next step."""
        return tuple(share.id for share in self._next().shares)

    def step(self) -> list[Told]:
        """Take one step; return its frames: one `Stepped` for all it did, and what ended."""
        began = self._clock()
        planned, self._planned = self._next(), None
        if not planned.shares:
            return []
        out = _Output()
        self._evaluate(planned, out)
        if not out.emitted and not out.prefilled:
            return out.frames
        lasted = self._clock() - began
        used = self._cache.ledger.used_cells
        return [Stepped(tuple(out.emitted), out.prefilled, lasted, used), *out.frames]

    # --- admission ----------------------------------------------------------------------------------

    def _next(self) -> Planned:
        if self._planned is None:
            self._interrupt.plan()
            self._admit(self._clock())
            now = self._clock()
            rows = [self._row(run, now) for run in self._runs.values()]
            self._planned = self._planner.next(rows, idle_rows=len(self._fit_for_padding), now=now)
        return self._planned

    def _row(self, run: Run, now: float) -> Row:
        return run.row(self._cache.ledger.length(run.sequence), now)

    def _admit(self, now: float) -> None:
        urgent_first = sorted(
            (a for a in self._waiting.values() if self._planner.allows(a.job.urgency, now)),
            key=lambda a: (-a.job.urgency, a.job.request_id),
        )
        for arrival in urgent_first[: self._terms.running_max - len(self._runs)]:
            del self._waiting[arrival.job.request_id]
            self._seat(arrival)

    def _seat(self, arrival: Arrival) -> None:
        prompt = arrival.tokens
        if arrival.job.parked is not None and self._parking:
            self._cache.unpark(arrival.job.parked, prompt, self._idle, self._parking)
        busy = [run.sequence for run in self._runs.values()]
        # Beside those that run: only neighbours share a graph.
        nearest = sorted(
            self._idle, key=lambda s: min((abs(s - other) for other in busy), default=0)
        )
        seat = self._cache.seat(prompt, nearest, busy)
        self._idle.remove(seat.sequence)
        self._runs[arrival.job.request_id] = start(
            arrival,
            seat,
            piece=self._model.piece,
            end_tokens=self._model.end_tokens,
            now=self._clock(),
        )

    @property
    def _fit_for_padding(self) -> set[int]:
        """Idle sequences that can take a token and let go of it."""
        if not self._terms.abilities.trim:
            return set()
        length = self._cache.ledger.length
        return {sequence for sequence in self._idle if length(sequence) < self._context.cells}

    def _padding(self, feeds: list[Feed], planned: Planned) -> list[int]:
        """Idle sequences that go along in a decode step: those that close gaps, and so many more as were planned.

        A gap would cost a graph of its own, which is more than a row.
        """
        if planned.tokens_each > 1 or (len(feeds) == 1 and not planned.step.pads):
            return []
        used = sorted(feed.sequence for feed in feeds)
        gaps = set(range(used[0], used[-1])) - set(used)
        fit = self._fit_for_padding
        padding = sorted(gaps) if gaps <= fit and len(gaps) <= len(used) else []
        beside = sorted(fit - gaps, key=lambda s: min(abs(s - used[0]), abs(s - used[-1])))
        return padding + beside[: max(0, planned.step.pads - len(padding))]

    # --- one step -----------------------------------------------------------------------------------

    def _evaluate(self, planned: Planned, out: _Output) -> None:
        """Decode the shares and draw from their logits."""
        runs = [self._runs[share.id] for share in planned.shares]
        feeds = [self._feed(run, planned.tokens_each) for run in runs]
        began = self._clock()
        rows = [self._row(run, began) for run in runs]
        if self._terms.abilities.abort and not self._cache.turning:
            self._interrupt.begin(planned, began, committed=self._planner.may_abort(planned))
        padding = self._padding(feeds, planned)
        code = self._cache.evaluate(feeds, padding)
        self._interrupt.end()
        for run, row in zip(runs, rows, strict=True):
            if not row.decoding:  # a failure may have emptied what cannot be trimmed
                out.prefilled += max(0, self._cache.ledger.length(run.sequence) - row.cells)
        if code == DECODED:
            graph = sorted([*padding, *(feed.sequence for feed in feeds)])
            together = graph[-1] - graph[0] < len(graph)
            now = self._clock()
            self._planner.ran(
                planned, rows=len(graph) if together else None, duration_s=now - began, now=now
            )
            for index, run in enumerate(runs):
                self._draw(run, index, out)
        elif code == ABORTED:
            self._planner.aborted(planned)
        else:
            self._recover(code, planned, out)

    def _feed(self, run: Run, tokens: int) -> Feed:
        """The next tokens of a run: fewer where a batch that failed had read some of them (rule 4)."""
        held = self._cache.ledger.length(run.sequence)
        part = run.history[held : held + tokens]
        return Feed(run.sequence, held, part, wants_logits=held + len(part) == len(run.history))

    def _recover(self, code: int, planned: Planned, out: _Output) -> None:
        """Rule 4."""
        if len(planned.shares) > 1:
            for share in planned.shares:
                alone = replace(planned.step, shares=(share,), pads=0)
                self._evaluate(replace(planned, step=alone), out)
            return
        run = self._runs[planned.shares[0].id]
        detail = f"llama.cpp refused the batch (code {code})"
        if code == NO_ROOM:
            detail = "the cache has no room for it, not even alone"
        out.frames.append(self._end(run, Halt.FAILED, detail=detail))

    def _draw(self, run: Run, index: int, out: _Output) -> None:
        """Draw a token for a run whose history is evaluated; end it where that was the last one."""
        if self._cache.ledger.length(run.sequence) < len(run.history):
            return
        # A warm-up wants no token, and a former worker may have sent them all.
        run.stop = run.ended(self._clock())
        if run.stop is None:
            try:
                emitted = run.draw(self._context.logits(index), self._clock())
            except MatcherError as error:
                out.frames.append(self._end(run, Halt.FAILED, detail=str(error)))
                return
            if emitted:
                out.emitted.append(emitted)
        if run.stop:
            text = run.text.close()  # a stop string may be met in what was held back
            stop = StopType("word", run.text.stopped_by) if run.text.stopped_by else run.stop
            out.frames.append(self._end(run, Halt.DONE, stop=stop, text=text))

    # --- ends -----------------------------------------------------------------------------------------

    def _take_back(self, request_id: int, halt: Halt, parked: Parked | None = None) -> list[Told]:
        self._planned = None
        if run := self._runs.get(request_id):
            return [self._end(run, halt, parked=parked)]
        if waiting := self._waiting.pop(request_id, None):
            if waiting.job.parked is not None and self._parking:
                self._parking.pocket.forget(waiting.job.parked)
            timings = Timings(queued_ms=(self._clock() - waiting.arrived_s) * 1e3)
            return [Stopped(request_id, halt, timings=timings)]
        return []

    def _end(
        self,
        run: Run,
        halt: Halt,
        *,
        stop: StopType | None = None,
        text: str = "",
        detail: str = "",
        parked: Parked | None = None,
    ) -> Stopped:
        """Forget a job; its sequence keeps what it holds until somebody needs it."""
        del self._runs[run.job.request_id]
        self._idle.append(run.sequence)
        timings = run.timings(self._clock())
        return Stopped(run.job.request_id, halt, stop, text, timings, detail, parked=parked)
