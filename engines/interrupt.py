"""Breaks off a step of lesser work for a job that has just come, here or in another worker (ENGINE.md 9 to 12).

The step thread says when a step is planned, begins and ends, others say who came. A lock makes "ask and raise the
flag" one act: a flag raised late would break off the step after, which may be one that must not be broken off. Who
comes between a plan and its step is remembered: the plan knows nothing of him.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from engines.llama import Context
from policies.pace import worth_aborting
from policies.planner import Planned


@dataclass(frozen=True, slots=True)
class _Running:
    """The step that runs, and whether lesser work has finished one since the last abort."""

    planned: Planned
    began_s: float
    committed: bool


class Interrupt:
    """The flag of one context, raised only between `begin` and `end` of a step."""

    def __init__(self, context: Context, *, quantum_s: float, clock: Callable[[], float]) -> None:
        self._context = context
        self._quantum_s = quantum_s
        self._clock = clock
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._asked = -math.inf
        """How urgent those are who came since the last plan."""

    def plan(self) -> None:
        """A step is planned now: it knows of everybody who came before."""
        with self._lock:
            self._asked = -math.inf

    def begin(self, planned: Planned, began_s: float, *, committed: bool) -> None:
        """A step begins that may be broken off."""
        with self._lock:
            self._running = _Running(planned, began_s, committed)
            self._make_room(self._asked)

    def end(self) -> None:
        """The step is over; the next one runs undisturbed."""
        with self._lock:
            self._running = None
            self._context.resume()

    def hurry(self, urgency: float) -> bool:
        """Make room for what is that urgent, if that is worth it; say whether a step was broken off. Safe in any thread."""
        with self._lock:
            self._asked = max(self._asked, urgency)
            return self._make_room(urgency)

    def _make_room(self, urgency: float) -> bool:
        running = self._running
        if running is None:
            return False
        worth = worth_aborting(
            running_urgency=running.planned.urgency,
            newcomer_urgency=urgency,
            elapsed_s=self._clock() - running.began_s,
            predicted_s=running.planned.predicted_s,
            quantum_s=self._quantum_s,
            committed_since_abort=running.committed,
        )
        if worth:
            self._context.abort()
        return worth
