"""The step loop's state: jobs wait for a sequence, run in one batch, and end. One thread owns it.

Rule 1. A job is admitted when a sequence is idle and its prompt and all of its tokens fit beside what the
        running ones have reserved (ENGINE.md 6): a full cache is planned for, not met.
Rule 2. An ended job's sequence stays filled until somebody needs it: that is the prefix cache. Only the latest few
        stay, because what is kept has a price: every step attends over the highest used cell (ENGINE.md 7).
Rule 3. The ledger changes exactly when `llama_decode` has said that the cache did.
Rule 4. Return code 1: idle sequences are emptied, oldest first; then the least urgent job gives way (`evicted`).
        Negative: the batch is tried again one job at a time, and who fails alone ends `failed` (ENGINE.md 8).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from engines.engine import Emitted, Job, Stepped, Stopped, StopType, Timings
from engines.kv import Ledger, best_prefix, seat
from engines.llama import DECODED, NO_ROOM, Context, Entry, Model
from engines.prompt import Layout
from engines.sampling import Sampler, logprob
from engines.text import TextStream
from policies.messages import Halt
from policies.step import Row, Share, plan

Clock = Callable[[], float]
Told: TypeAlias = Stepped | Stopped
"""What the daemon is told."""


@dataclass(slots=True)
class _Run:
    """One admitted job."""

    job: Job
    sequence: int
    history: list[int]
    """Prompt and every token drawn since; the cache holds a beginning of it."""
    evaluated: int
    sampler: Sampler
    text: TextStream
    prompt_tokens: int
    cached_tokens: int
    arrived: float
    started: float
    first: float | None = None
    emitted: int = 0
    stop: StopType | None = None

    @property
    def waiting(self) -> int:
        return len(self.history) - self.evaluated

    @property
    def reserved(self) -> int:
        return self.prompt_tokens + self.job.tokens_max


@dataclass(slots=True)
class _Waiting:
    job: Job
    layout: Layout
    arrived: float


@dataclass(slots=True)
class _Output:
    """What a step has to say."""

    frames: list[Told] = field(default_factory=list)
    emitted: list[Emitted] = field(default_factory=list)


class Batcher:
    """Runs jobs in one context.

    `sequences` is how many the context has, `running_max` how many may run at once (the others keep prompts
    that ended), `budget` the most tokens of one step.
    """

    def __init__(
        self,
        model: Model,
        context: Context,
        *,
        sequences: int,
        running_max: int,
        budget: int,
        can_trim: bool,
        clock: Clock = time.monotonic,
    ) -> None:
        self._model = model
        self._context = context
        self._running_max = running_max
        self._kept_max = sequences - running_max
        self._budget = budget
        self._can_trim = can_trim
        self._clock = clock
        self._ledger = Ledger(sequences)
        self._all = range(sequences)
        self._idle = list(self._all)
        """Sequences nobody runs in, oldest use first; most still hold a cached prompt."""
        self._runs: dict[int, _Run] = {}
        self._waiting: dict[int, _Waiting] = {}

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._runs or self._waiting)

    @property
    def ledger(self) -> Ledger:
        """The ledger, for questions only."""
        return self._ledger

    def cached_tokens(self, tokens: tuple[int, ...]) -> int:
        """Return how much of a prompt is in the cache. Called from the intake thread: an estimate."""
        return best_prefix(self._ledger, list(tokens), self._all, can_trim=self._can_trim)[1]

    def submit(self, job: Job, layout: Layout, arrived: float) -> None:
        """Take a job whose prompt is laid out."""
        self._waiting[job.request_id] = _Waiting(job, layout, arrived)

    def stop(self, request_id: int) -> list[Told]:
        """Take a job back; its sequence is free when this returns."""
        if waiting := self._waiting.pop(request_id, None):
            timings = Timings(queued_ms=(self._clock() - waiting.arrived) * 1e3)
            return [Stopped(request_id, Halt.STOPPED, timings=timings)]
        if run := self._runs.get(request_id):
            return [self._end(run, Halt.STOPPED)]
        return []

    def aboard(self) -> tuple[int, ...]:
        """Admit what can be admitted, and say who shares the next step."""
        self._admit()
        return tuple(share.id for share in self._plan())

    def step(self) -> list[Told]:
        """Evaluate one batch; return its frames: what ended, and one `Stepped` for all tokens."""
        began = self._clock()
        out = _Output()
        self._admit()
        shares = self._plan()
        if not shares:
            return []
        prefilled = self._evaluate(shares, out)
        stepped = Stepped(
            tuple(out.emitted), prefilled, self._clock() - began, self._ledger.used_cells
        )
        return [stepped, *out.frames]

    # --- admission ----------------------------------------------------------------------------------

    def _admit(self) -> None:
        urgent_first = sorted(
            self._waiting.values(), key=lambda w: (-w.job.urgency, w.job.request_id)
        )
        for waiting in urgent_first:
            if len(self._runs) >= self._running_max or not self._fits(waiting):
                return
            del self._waiting[waiting.job.request_id]
            self._seat(waiting)

    def _fits(self, waiting: _Waiting) -> bool:
        """Rule 1. Cached prompts are not counted: they give way when their cells are needed.

        A job that is alone is always let in: nobody's end would make more room for it.
        """
        if not self._runs:
            return True
        reserved = sum(run.reserved for run in self._runs.values())
        need = len(waiting.layout.tokens) + waiting.job.tokens_max
        return reserved + need <= self._context.cells

    def _seat(self, waiting: _Waiting) -> None:
        job, prompt = waiting.job, [*waiting.layout.tokens, *waiting.job.sent]
        busy = [run.sequence for run in self._runs.values()]
        place = seat(self._ledger, prompt, self._idle, busy, can_trim=self._can_trim)
        self._idle.remove(place.sequence)
        self._keep(place.sequence, place.cached if place.source == place.sequence else 0)
        if place.source != place.sequence:
            self._context.copy(place.source, place.sequence, place.cached)
            self._ledger.share(place.source, place.sequence, place.cached)
        cached = self._ledger.length(place.sequence)
        stream = TextStream(job.stops, waiting.layout.healed)
        for token in job.sent:
            stream.push(self._model.piece(token))
        self._runs[job.request_id] = _Run(
            job=job,
            sequence=place.sequence,
            history=prompt,
            evaluated=cached,
            sampler=Sampler(job.sampling, self._model.end_tokens, self._model.piece),
            text=stream,
            prompt_tokens=len(waiting.layout.tokens),
            cached_tokens=min(cached, len(waiting.layout.tokens)),
            arrived=waiting.arrived,
            started=self._clock(),
            emitted=len(job.sent),
        )

    def _keep(self, sequence: int, length: int) -> None:
        """Trim a sequence to its first `length` cells; empty it where the architecture cannot trim."""
        if self._ledger.length(sequence) == length:
            return
        if not self._context.remove(sequence, length):
            self._context.remove(sequence, 0)
            length = 0
        self._ledger.truncate(sequence, length)

    # --- one step -----------------------------------------------------------------------------------

    def _plan(self) -> list[Share]:
        rows = [
            Row(
                id=run.job.request_id,
                waiting_tokens=run.waiting,
                prefilling=run.waiting > 1 or run.first is None,
                urgency=run.job.urgency,
                slack_s=run.job.slack_s,
                alone=run.job.alone,
            )
            for run in self._runs.values()
        ]
        return plan(rows, budget_tokens=self._budget)

    def _evaluate(self, shares: list[Share], out: _Output) -> int:
        """Decode the shares and draw from their logits; return how many prompt tokens were evaluated."""
        entries, ends = self._entries(shares)
        code = self._context.decode(entries)
        while code == NO_ROOM and self._drop_oldest_cached():
            code = self._context.decode(entries)
        if code != DECODED:
            return self._recover(code, shares, out)
        prefilled = 0
        for share, end in zip(shares, ends, strict=True):
            run = self._runs[share.id]
            if run.first is None or share.tokens > 1:
                prefilled += share.tokens
            fed = run.history[run.evaluated : run.evaluated + share.tokens]
            self._ledger.append(run.sequence, fed)
            run.evaluated += share.tokens
            if not run.waiting:
                self._draw(run, end, out)
        return prefilled

    def _entries(self, shares: list[Share]) -> tuple[list[Entry], list[int]]:
        entries: list[Entry] = []
        ends: list[int] = []
        for share in shares:
            run = self._runs[share.id]
            last = len(run.history) - 1
            positions = range(run.evaluated, run.evaluated + share.tokens)
            entries += [Entry(run.history[p], p, run.sequence, p == last) for p in positions]
            ends.append(len(entries) - 1)
        return entries, ends

    def _recover(self, code: int, shares: list[Share], out: _Output) -> int:
        """Rule 4, when no idle sequence is left to empty."""
        if len(shares) > 1 and code != NO_ROOM:
            return sum(self._evaluate([share], out) for share in shares if share.id in self._runs)
        if code != NO_ROOM:
            failed = self._runs[shares[0].id]
            detail = f"llama.cpp refused the batch (code {code})"
            out.frames.append(self._end(failed, Halt.FAILED, detail=detail))
            return 0
        least = min(self._runs.values(), key=lambda run: (run.job.urgency, -run.job.request_id))
        if len(self._runs) == 1:
            detail = "the cache has no room for it, not even alone"
            out.frames.append(self._end(least, Halt.FAILED, detail=detail))
        else:
            out.frames.append(self._end(least, Halt.EVICTED))
        self._drop_oldest_cached()
        return 0

    def _drop_oldest_cached(self) -> bool:
        kept = self._kept()
        if kept:
            self._keep(kept[0], 0)
        return bool(kept)

    def _forget_oldest(self) -> None:
        kept = self._kept()
        for sequence in kept[: max(0, len(kept) - self._kept_max)]:
            self._keep(sequence, 0)

    def _kept(self) -> list[int]:
        """Idle sequences that hold a prompt, the oldest first."""
        return [sequence for sequence in self._idle if self._ledger.length(sequence)]

    # --- tokens -------------------------------------------------------------------------------------

    def _draw(self, run: _Run, entry: int, out: _Output) -> None:
        if ended := self._over(
            run
        ):  # before a first token: a warm-up, or all of it was sent by a former worker
            out.frames.append(self._finish(run, ended))
            return
        logits = self._context.logits(entry)
        token = run.sampler.draw(logits, run.history)
        run.first = self._clock() if run.first is None else run.first
        if token in self._model.end_tokens and not run.job.sampling.ignore_eos:
            out.frames.append(self._finish(run, StopType("eos")))
            return
        run.emitted += 1
        run.history.append(token)
        text = run.text.push(self._model.piece(token))
        score = logprob(logits, token) if run.job.logprobs else 0.0
        out.emitted.append(Emitted(run.job.request_id, (token,), text, score))
        if ended := self._over(run):
            out.frames.append(self._finish(run, ended))

    def _over(self, run: _Run) -> StopType | None:
        if run.text.stopped_by is not None:
            return StopType("word", run.text.stopped_by)
        if run.emitted >= run.job.tokens_max or self._overdue(run):
            return StopType("limit")
        return None

    def _overdue(self, run: _Run) -> bool:
        limit = run.job.predict_s_max
        return limit is not None and run.first is not None and self._clock() - run.first > limit

    def _finish(self, run: _Run, stop: StopType) -> Stopped:
        run.stop = stop
        return self._end(run, Halt.DONE, text=run.text.close())

    def _end(self, run: _Run, halt: Halt, *, text: str = "", detail: str = "") -> Stopped:
        """Rule 2: forget the job, keep its cells."""
        del self._runs[run.job.request_id]
        self._idle.append(run.sequence)
        self._forget_oldest()
        now = self._clock()
        first = now if run.first is None else run.first
        timings = Timings(
            prompt_tokens=run.prompt_tokens,
            cached_tokens=run.cached_tokens,
            emitted_tokens=run.emitted,
            queued_ms=(run.started - run.arrived) * 1e3,
            prompt_ms=(first - run.started) * 1e3,
            predict_ms=(now - first) * 1e3,
        )
        return Stopped(run.job.request_id, halt, run.stop, text, timings, detail)
