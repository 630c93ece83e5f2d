"""The plain admission policies: a static cap in order of arrival, in turn between the classes, or by class.

What vLLM, Ollama and SGLang offer is the first of them. They look at no promise, and wait for no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from policies.candidate import Candidate, Verdict
from policies.request import Class


@dataclass(slots=True)
class Capped:
    """At most `cap` at once: the class of the smallest rank first, each class in order of arrival."""

    cap: int
    rank: Callable[[Class, Class], int]
    """Of a class, given the class that started last."""
    last: Class = Class.SPECULATIVE
    """The class that started last; at first the last of all, so that the first turn is the most urgent one's."""

    def next(
        self, waiting: Sequence[Candidate], running: Sequence[Candidate], *, now: float
    ) -> Verdict:
        """The first by rank, then by arrival, while there is room."""
        del now
        if not waiting or len(running) >= self.cap:
            return Verdict()
        first = min(
            waiting, key=lambda one: (self.rank(one.klass, self.last), one.arrived_s, one.id)
        )
        self.last = first.klass
        return Verdict(start=first.id)


FirstCome = partial(Capped, rank=lambda *_: 0)
"""In order of arrival whatever their class: the static cap of the SABER paper."""
ByClass = partial(Capped, rank=lambda klass, _: klass)
"""The most urgent class first: strict priority."""
RoundRobin = partial(Capped, rank=lambda klass, last: (klass - last - 1) % len(Class))
"""The classes in turn: nobody's flood stops another's drop. The rank is how many turns a class still has to wait."""
