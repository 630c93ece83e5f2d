"""An estimator that knows the shape of a step's price: a fixed part, so much a token, so much a token and cached cell.

Two least squares that forget, one for decode steps and one for chunks. Errors count in proportion to what was
predicted, and within limits, so that neither long steps nor interrupted ones decide.
"""

from __future__ import annotations

from policies.curves import solve
from policies.estimators import RATIO_MAX, Drift
from policies.speed import Load
from policies.step_time import PRIOR_S

KEPT = 0.99
"""What is left of the past after one more step."""
DRIFTED_KEPT = 0.8
"""The same while the machine is not what it was."""
RIDGE = 1e-9
"""Keeps terms that never varied at 0, as a part of their own sum of squares."""
CELLS = 1000.0
"""Cells are counted in thousands, which keeps the sums of like magnitude."""


class _Fit:
    """Seconds of one kind of step by its tokens and cells; no term is below 0."""

    def __init__(self) -> None:
        self._rows = [[0.0] * 4 for _ in range(3)]
        self._terms: list[float] | None = None
        self.drift = Drift()

    def at(self, tokens: int, cells: int) -> float:
        if self._terms is None:
            return PRIOR_S * tokens
        values = zip(self._terms, _features(tokens, cells), strict=False)
        return sum(term * value for term, value in values)

    def observe(self, tokens: int, cells: int, seconds: float) -> None:
        predicted_s = seconds
        if self._terms is not None:
            predicted_s = self.at(tokens, cells)
            self.drift.note(seconds / predicted_s)
            seconds = min(max(seconds, predicted_s / RATIO_MAX), predicted_s * RATIO_MAX)
        kept = DRIFTED_KEPT if self.drift.drifted else KEPT
        features = _features(tokens, cells)
        for row, own in zip(self._rows, features, strict=True):
            for place, value in enumerate((*features, seconds)):
                row[place] = row[place] * kept + own * value / predicted_s**2
        self._terms = self._solved()

    def _solved(self) -> list[float]:
        """The most terms of which none is below 0; tokens alone always are."""
        for columns in ((0, 1, 2), (0, 1), (1,)):
            rows = [[self._rows[row][place] for place in (*columns, 3)] for row in columns]
            for index, row in enumerate(rows):
                row[index] *= 1 + RIDGE
            found = solve(rows)
            if found is not None and min(found) >= 0 and max(found) > 0:
                terms = [0.0] * 3
                for column, term in zip(columns, found, strict=True):
                    terms[column] = term
                return terms
        raise AssertionError("seconds a token, from steps of some tokens and some time")


class Regression:
    """Seconds of a step by a formula. Conforms to `policies.speed.Estimator`."""

    def __init__(self) -> None:
        self._decode = _Fit()
        self._chunk = _Fit()

    def observe(self, load: Load, duration_s: float) -> None:
        """Take one step into account."""
        tokens = load.prefill_tokens or load.sequences
        if tokens and duration_s > 0:
            self._fit(load).observe(tokens, load.cells, duration_s)

    def step_s(self, load: Load) -> float:
        """Seconds of one step."""
        return self._fit(load).at(load.prefill_tokens or max(1, load.sequences), load.cells)

    @property
    def drifted(self) -> bool:
        """Whether decode steps or chunks have lately been wrong in one direction."""
        return self._decode.drift.drifted or self._chunk.drift.drifted

    def _fit(self, load: Load) -> _Fit:
        return self._chunk if load.prefill_tokens else self._decode


def _features(tokens: int, cells: int) -> tuple[float, float, float]:
    return 1.0, float(tokens), tokens * cells / CELLS
