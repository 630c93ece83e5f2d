"""Plans one worker's steps and learns from those that ran: `step` chooses, `step_time` measures, `hush` holds back.

Pure: the worker tells how long a step took and how it ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies.hush import Hush
from policies.step import Row, Share, Step, Turns, plan
from policies.step_time import StepTimes


@dataclass(frozen=True, slots=True)
class Planned:
    """The next step, and what is expected of it."""

    step: Step
    urgency: float = 0.0
    """Of the most urgent row in it."""
    least_urgency: float = 0.0
    longest_cells: int = 0
    """The longest of its sequences when it ends."""
    predicted_s: float = 0.0

    @property
    def shares(self) -> tuple[Share, ...]:
        """Who evaluates how much."""
        return self.step.shares

    @property
    def tokens_each(self) -> int:
        """Tokens of each of them."""
        return self.step.shares[0].tokens


class Planner:
    """One worker's plans. `can_abort`: whether a step can be broken off inside."""

    def __init__(self, *, budget_tokens: int, quantum_s: float, can_abort: bool) -> None:
        self._budget_tokens = budget_tokens
        self._quantum_s = quantum_s
        self._can_abort = can_abort
        self._times = StepTimes()
        self._turns = Turns()
        self._hush = Hush()

    @property
    def due_s(self) -> float:
        """From when on every row may step, by the clock of `now`; past while no pause lasts."""
        return self._hush.due_s

    def pause(self, *, below: float, progress_s: float, now: float) -> None:
        """Hold back what is less urgent than `below`, but for a step of it in `progress_s`."""
        self._hush = self._hush.paused(below=below, progress_s=progress_s, now=now)

    def unpause(self) -> None:
        """Hold nothing back any more."""
        self._hush = self._hush.unpaused()

    def allows(self, urgency: float, now: float) -> bool:
        """Whether work of that urgency may step now."""
        return self._hush.allows(urgency, now)

    def may_abort(self, planned: Planned) -> bool:
        """Whether a step may be broken off: not if its like was, and has made no step since."""
        return planned.urgency > self._turns.owed

    def next(self, rows: Sequence[Row], *, idle_rows: int, now: float) -> Planned:
        """Choose the next step of those rows that may step now; `idle_rows` sequences can pad it.

        While a pause lasts nobody breaks off a step for what is more urgent elsewhere: each is short from the start.
        """
        rows = [row for row in rows if self.allows(row.urgency, now)]
        step = plan(
            rows,
            budget_tokens=self._budget_tokens,
            times=self._times,
            quantum_s=self._quantum_s,
            can_abort=self._can_abort and not self._hush.lasts,
            idle_rows=idle_rows,
            turns=self._turns,
        )
        if not step.shares:
            return Planned(step)
        ids = {share.id for share in step.shares}
        chosen = [row for row in rows if row.id in ids]
        tokens = step.shares[0].tokens
        longest = max(row.cells for row in chosen) + tokens
        predicted_s = self._times.predict(
            rows=len(chosen) + step.pads, tokens_each=tokens, longest_cells=longest
        )
        urgencies = [row.urgency for row in chosen]
        return Planned(step, max(urgencies), min(urgencies), longest, predicted_s)

    def ran(self, planned: Planned, *, rows: int | None, duration_s: float, now: float) -> None:
        """A step ran to its end, in one graph of so many rows; None where it took several, which say nothing."""
        self._turns = planned.step.turns.after_step(planned.urgency)
        self._hush = self._hush.stepped(planned.least_urgency, now)
        if rows is not None:
            self._times.observe(
                rows=rows,
                tokens_each=planned.tokens_each,
                longest_cells=planned.longest_cells,
                duration_s=duration_s,
            )

    def aborted(self, planned: Planned) -> None:
        """A step was broken off for something more urgent."""
        self._turns = self._turns.after_abort(planned.urgency)
