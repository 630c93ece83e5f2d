"""Estimators that draw a curve through what was measured at each number of requests: the paper's law, a line, a table.

They differ in the curve alone: all three share the averages and the price of a prompt's token, and hold the number of
requests within what was measured. `policies/step_model.py` is what the daemon uses; these are what it is measured against.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from policies.curves import Curve, Point, law, table
from policies.speed import Load
from policies.step_time import PRIOR_S

RATE = 0.05
"""The weight of a step in averages."""
DRIFTED_RATE = 0.3
"""The same while the machine is not what it was."""
RATIO_MAX = 2.0
"""A step counts as at most so many times slower or quicker than predicted."""
YOUNG = 2
"""Of the first steps of a size, so many, the quickest is believed: steps are interrupted, never hurried."""
DRIFT_RATE = 0.1
DRIFT_MAX = 0.2
"""A lasting error beyond this, as a logarithm, is no noise."""
SIZE_MAX = 256
"""Larger sizes share an entry, so that memory has a bound."""


class Drift:
    """The moving average of log(actual / predicted)."""

    def __init__(self) -> None:
        self._log = 0.0

    def note(self, ratio: float) -> None:
        """One step took so many times what was predicted; above 0."""
        log = math.log(min(max(ratio, 1 / RATIO_MAX), RATIO_MAX))
        self._log += DRIFT_RATE * (log - self._log)

    @property
    def drifted(self) -> bool:
        """Whether predictions have lately been wrong in one direction: four steps of twice the time suffice."""
        return abs(self._log) > DRIFT_MAX


@dataclass(slots=True)
class _Average:
    seconds: float
    steps: int = 1


class Averages:
    """Seconds by size: geometric means that forget, at a pace that all of them share."""

    def __init__(self) -> None:
        self._by_size: dict[int, _Average] = {}
        self._pace = 1.0
        self.drift = Drift()

    def observe(self, size: int, seconds: float) -> None:
        """Take one step into account; sizes and seconds above 0."""
        size = min(size, SIZE_MAX)
        average = self._by_size.get(size)
        if average is None:
            self._by_size[size] = _Average(seconds / self._pace)
            return
        average.steps += 1
        ratio = seconds / (average.seconds * self._pace)
        if average.steps <= YOUNG:
            average.seconds *= min(1.0, ratio)
            return
        self.drift.note(ratio)
        ratio = min(max(ratio, 1 / RATIO_MAX), RATIO_MAX)
        average.seconds *= ratio**RATE
        self._pace *= ratio ** (DRIFTED_RATE if self.drift.drifted else RATE)

    def at(self, size: int) -> float | None:
        """Seconds of this size now, if it was measured."""
        average = self._by_size.get(size)
        return average.seconds * self._pace if average else None

    def points(self) -> list[Point]:
        """Sizes in growing order, their seconds now, and how many requests say so: each of a step's is one."""
        return [
            (size, average.seconds * self._pace, size * min(average.steps, 1 / RATE))
            for size, average in sorted(self._by_size.items())
        ]


class CurveEstimator:
    """A curve over decode steps by how many requests share them, and a price for each token of a prompt."""

    def __init__(self, draw: Callable[[Sequence[Point]], Curve]) -> None:
        self._draw = draw
        self._decode = Averages()
        self._token = Averages()
        self._drawn: tuple[Curve, float, float] | None = None
        """The curve through all that was measured, and the least and the most requests in it."""

    def observe(self, load: Load, duration_s: float) -> None:
        """Take one step into account."""
        if duration_s <= 0:
            return
        if load.prefill_tokens:
            self._token.observe(1, duration_s / load.prefill_tokens)
        elif load.sequences:
            self._decode.observe(load.sequences, duration_s)
            self._drawn = None

    def step_s(self, load: Load) -> float:
        """Seconds of one step. Before any was measured a token is thought slow."""
        if load.prefill_tokens:
            return load.prefill_tokens * (self._token.at(1) or PRIOR_S)
        if self._drawn is None:
            points = self._decode.points()
            if not points:
                return PRIOR_S * max(1, load.sequences)
            self._drawn = self._draw(points), points[0][0], points[-1][0]
        curve, least, most = self._drawn
        return curve(min(max(load.sequences, least), most))

    @property
    def drifted(self) -> bool:
        """Whether decode steps or chunks have lately been wrong in one direction."""
        return self._decode.drift.drifted or self._token.drift.drifted


class Usl(CurveEstimator):
    """The SABER paper's estimator: the universal scalability law, fitted to speeds."""

    def __init__(self) -> None:
        super().__init__(partial(law, terms=3))


class Line(CurveEstimator):
    """Seconds a token grow by the same for each request more."""

    def __init__(self) -> None:
        super().__init__(partial(law, terms=2))


class Table(CurveEstimator):
    """What was measured, made to rise, and straight lines between."""

    def __init__(self) -> None:
        super().__init__(table)
