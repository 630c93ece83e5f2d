"""A machine whose steps take what a table says, in virtual time: what the planner's choices would cost there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field

from policies.pace import worth_aborting
from policies.step import Row, Share, Step, Turns, plan
from policies.step_time import StepTimes

DECODE_MS = {
    1: 15.9, 2: 43.9, 3: 56.7, 4: 61.6, 5: 80, 6: 93, 7: 90, 8: 67, 9: 83,
    10: 89, 12: 82, 14: 106, 16: 82, 20: 103,
}  # fmt: skip
"""A step of so many rows, as measured once: a 0.5B model in Q8_0 on two cores."""
PREFILL_MS = {
    1: 15.9,
    8: 51,
    16: 65,
    24: 93,
    32: 123,
    48: 164,
    64: 212,
    96: 301,
    128: 401,
    256: 791,
}
"""A step of one row with so many tokens, of the same model and machine."""

ABORT_S = 0.007
"""From the wish to the end of a step, as measured."""

Cost = Callable[[int, int], float]
"""Seconds of a step, by its rows and the tokens of each."""


def look_up(table: dict[int, float], size: int) -> float:
    """A table's value, between its neighbours where it has none."""
    sizes = sorted(table)
    at = min(max(bisect_left(sizes, size), 1), len(sizes) - 1)
    low, high = sizes[at - 1], sizes[at]
    return table[low] + (table[high] - table[low]) * (size - low) / (high - low)


def measured(rows: int, tokens_each: int) -> float:
    """The cost on the machine that was measured."""
    if tokens_each == 1:
        return look_up(DECODE_MS, rows) / 1e3
    return look_up(PREFILL_MS, rows * tokens_each) / 1e3


def taught(cost: Cost, *, rows: int = 20, tokens: int = 256) -> StepTimes:
    """What a machine of this cost has taught: every width of decode steps, and chunks of many sizes."""
    times = StepTimes()
    for _ in range(2):
        for width in range(1, rows + 1):
            times.observe(rows=width, tokens_each=1, duration_s=cost(width, 1))
        for size in {*range(2, 33), *range(33, tokens, 13), tokens}:
            times.observe(rows=1, tokens_each=size, duration_s=cost(1, size))
    return times


@dataclass
class Job:
    """A request that arrives at `at_s`, and what became of it."""

    id: int
    prompt: int
    tokens: int = 1_000_000
    urgency: float = 1.0
    at_s: float = 0.0
    gap_s: float = 60.0
    alone: bool = False
    waiting: int = 0
    times_s: list[float] = field(default_factory=list)
    """When its tokens were drawn."""

    def __post_init__(self) -> None:
        self.waiting = self.prompt

    @property
    def ttft_s(self) -> float:
        return self.times_s[0] - self.at_s

    @property
    def pause_s(self) -> float:
        """The longest between two of its tokens."""
        return max(b - a for a, b in zip(self.times_s, self.times_s[1:], strict=False))

    def row(self, now: float) -> Row:
        return Row(
            self.id,
            self.waiting,
            decoding=bool(self.times_s),
            urgency=self.urgency,
            gap_s=self.gap_s,
            waited_s=now - (self.times_s[-1] if self.times_s else self.at_s),
            alone=self.alone,
            cells=self.prompt - self.waiting + len(self.times_s),
        )


@dataclass
class Machine:
    """Runs jobs until a time or a number of steps; `steps` is what ran, with the seconds of each."""

    jobs: list[Job]
    cost: Cost = measured
    budget: int = 128
    quantum_s: float = 0.05
    can_abort: bool = True
    idle_rows: int = 4
    now: float = 0.0
    times: StepTimes = field(default_factory=StepTimes)
    turns: Turns = field(default_factory=Turns)
    aborts: int = 0
    steps: list[tuple[Step, float]] = field(default_factory=list)

    @property
    def live(self) -> list[Job]:
        return [job for job in self.jobs if job.at_s <= self.now and len(job.times_s) < job.tokens]

    def run(self, *, until_s: float = 1e9, steps: int = 100_000) -> Machine:
        while self.now < until_s and len(self.steps) < steps:
            if not self.live:
                later = [job.at_s for job in self.jobs if job.at_s > self.now]
                if not later:
                    break
                self.now = min(later)
            self._step(self.plan())
        return self

    def plan(self) -> Step:
        return plan(
            [job.row(self.now) for job in self.live],
            budget_tokens=self.budget,
            times=self.times,
            quantum_s=self.quantum_s,
            can_abort=self.can_abort,
            idle_rows=self.idle_rows,
            turns=self.turns,
        )

    def _step(self, step: Step) -> None:
        rows, each = len(step.shares) + step.pads, step.shares[0].tokens
        took = self.cost(rows, each)
        cells = max(job.row(self.now).cells for job in self._members(step)) + each
        shape = {"rows": rows, "tokens_each": each, "longest_cells": cells}
        if self._aborted(step, self.times.predict(**shape), took):
            return
        self.now += took
        self.times.observe(**shape, duration_s=took)
        self.steps.append((step, took))
        members = self._members(step)
        self.commit(step.shares)
        self.turns = step.turns.after_step(max(job.urgency for job in members))

    def commit(self, shares: tuple[Share, ...]) -> None:
        jobs = {job.id: job for job in self.jobs}
        for share in shares:
            job = jobs[share.id]
            job.waiting -= share.tokens
            if not job.waiting:
                job.times_s.append(self.now)
                job.waiting = 1

    def _members(self, step: Step) -> list[Job]:
        ids = {share.id for share in step.shares}
        return [job for job in self.jobs if job.id in ids]

    def _aborted(self, step: Step, predicted_s: float, took: float) -> bool:
        """A newcomer arrives in the step and is worth it: the step's work is lost some 7 ms later."""
        if not self.can_abort:
            return False
        running = max(job.urgency for job in self._members(step))
        for job in sorted(self.jobs, key=lambda job: job.at_s):
            elapsed = job.at_s - self.now
            if 0 < elapsed < took - ABORT_S and worth_aborting(
                running_urgency=running,
                newcomer_urgency=job.urgency,
                elapsed_s=elapsed,
                predicted_s=predicted_s,
                quantum_s=self.quantum_s,
                committed_since_abort=running > self.turns.owed,
            ):
                self.now += elapsed + ABORT_S
                self.aborts += 1
                self.turns = self.turns.after_abort(running)
                return True
        return False
