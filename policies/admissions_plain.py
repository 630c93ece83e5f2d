"""The plain admission policies: a static cap in order of arrival, in turn between the classes, or by class.

What vLLM, Ollama and SGLang offer is the first of them. They look at no promise, and wait for no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies.candidate import Candidate, Verdict
from policies.request import Class


@dataclass(frozen=True, slots=True)
class FirstCome:
    """At most `cap` at once, in order of arrival whatever their class: the static cap of the SABER paper."""

    cap: int

    def next(
        self, waiting: Sequence[Candidate], running: Sequence[Candidate], *, now: float
    ) -> Verdict:
        """The one that has waited longest, while there is room."""
        del now
        if not waiting or len(running) >= self.cap:
            return Verdict()
        return Verdict(start=min(waiting, key=lambda one: (one.arrived_s, one.id)).id)


@dataclass(frozen=True, slots=True)
class ByClass:
    """At most `cap` at once, the most urgent class first, each class in order of arrival: strict priority."""

    cap: int

    def next(
        self, waiting: Sequence[Candidate], running: Sequence[Candidate], *, now: float
    ) -> Verdict:
        """The first of the most urgent class that waits, while there is room."""
        del now
        if not waiting or len(running) >= self.cap:
            return Verdict()
        return Verdict(start=min(waiting, key=lambda one: (one.klass, one.arrived_s, one.id)).id)


@dataclass(slots=True)
class RoundRobin:
    """At most `cap` at once, the classes in turn, each in order of arrival: nobody's flood stops another's drop."""

    cap: int
    last: Class = Class.SPECULATIVE
    """The class that had the last turn."""

    def next(
        self, waiting: Sequence[Candidate], running: Sequence[Candidate], *, now: float
    ) -> Verdict:
        """The first of the next class that has somebody waiting, while there is room."""
        del now
        if not waiting or len(running) >= self.cap:
            return Verdict()
        first = min(waiting, key=lambda one: (self._distance(one.klass), one.arrived_s, one.id))
        self.last = first.klass
        return Verdict(start=first.id)

    def _distance(self, klass: Class) -> int:
        """How many turns until this class has its own."""
        return (klass - self.last - 1) % len(Class)
