"""Curves through measured points: the SABER paper's, a straight line, and the nearest one that never falls.

A point is (active requests, seconds a token, weight). The paper fits the speed v = a / (1 + s L + k L^2), Gunther's
universal scalability law. Its inverse, seconds a token, is c0 + c1 L + c2 L^2: linear in what is sought, so a
normal equation of three unknowns solves it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Point: TypeAlias = tuple[float, float, float]
"""Size, seconds, weight. Several of them come in the order of their sizes."""
Curve: TypeAlias = Callable[[float], float]
"""Seconds by size."""

ROUNDS = 8
"""The fit depends on where it is linearised: so often is that put right."""
SINGULAR = 1e-12


@dataclass(frozen=True, slots=True)
class Polynomial:
    """Seconds a token: c0 + c1 L + c2 L^2. As a scalability law: a = 1 / c0, s = c1 / c0, k = c2 / c0."""

    c0: float
    c1: float = 0.0
    c2: float = 0.0

    def at(self, size: float) -> float:
        """Seconds a token with so many requests."""
        return self.c0 + size * (self.c1 + size * self.c2)

    def rises(self, least: float, most: float) -> bool:
        """Whether it is above 0 and never falls from `least` to `most`: its slope is a line, so the ends tell."""
        slopes = (self.c1 + 2 * self.c2 * end for end in (least, most))
        return self.at(least) > 0 and min(slopes) >= 0


def scalability_law(points: Sequence[Point], *, terms: int = 3) -> Polynomial | None:
    """Fit the speed by least squares with so many of the three terms; None where the points do not determine it.

    Gauss and Newton's way: near a fit, an error of the speed is `speed^2` times one of its inverse, which is linear.
    """
    targets, weights = points, [weight / seconds**4 for _, seconds, weight in points]
    for _ in range(ROUNDS):
        curve = _least_squares(targets, weights, terms)
        if curve is None or any(curve.at(size) <= 0 for size, _, _ in points):
            return None
        fitted = [curve.at(size) for size, _, _ in points]
        weights = [weight / near**4 for (_, _, weight), near in zip(points, fitted, strict=True)]
        targets = [
            (size, near - (1 / seconds - 1 / near) * near**2, weight)
            for (size, seconds, weight), near in zip(points, fitted, strict=True)
        ]
    return curve


def law(points: Sequence[Point], *, terms: int) -> Curve:
    """The scalability law through at least one point, with at most so many terms.

    Without its square, or flat, where it would say that more requests make each of them faster.
    """
    ends = points[0][0], points[-1][0]
    fits = (scalability_law(points, terms=count) for count in range(terms, 0, -1))
    return next(fit.at for fit in fits if fit is not None and fit.rises(*ends))


def table(points: Sequence[Point]) -> Curve:
    """Straight lines between the points, made to rise; to be asked within them."""
    levels = rising(points)

    def at(size: float) -> float:
        index = bisect_left(levels, (size, 0.0))
        high, high_s = levels[index]
        if high == size:
            return high_s
        low, low_s = levels[index - 1]
        return low_s + (high_s - low_s) * (size - low) / (high - low)

    return at


def rising(points: Sequence[Point]) -> list[tuple[float, float]]:
    """The sizes with seconds that never fall, nearest to the points by weighted squares (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []  # seconds, weight, how many sizes
    for _, seconds, weight in points:
        pools.append((seconds, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (one_s, one, sizes), (other_s, other, more) = pools[-2:]
            mean_s = (one_s * one + other_s * other) / (one + other)
            pools[-2:] = [(mean_s, one + other, sizes + more)]
    levels = [seconds for seconds, _, sizes in pools for _ in range(sizes)]
    return [(size, level) for (size, _, _), level in zip(points, levels, strict=True)]


def solve(rows: Sequence[Sequence[float]]) -> list[float] | None:
    """Solve a symmetric positive system, each row with its right side last; None where it is singular."""
    matrix = [list(row) for row in rows]
    size = len(matrix)
    for column in range(size):
        pivot = matrix[column][column]
        if pivot <= SINGULAR * rows[column][column]:
            return None
        for below in range(column + 1, size):
            factor = matrix[below][column] / pivot
            for place in range(column, size + 1):
                matrix[below][place] -= factor * matrix[column][place]
    answer = [0.0] * size
    for column in reversed(range(size)):
        known = sum(matrix[column][place] * answer[place] for place in range(column + 1, size))
        answer[column] = (matrix[column][size] - known) / matrix[column][column]
    return answer


def _least_squares(
    points: Sequence[Point], weights: Sequence[float], terms: int
) -> Polynomial | None:
    """The polynomial in sizes relative to the largest, which keeps the sums of like magnitude."""
    unit = max((size for size, _, _ in points), default=1.0)
    rows = [[0.0] * (terms + 1) for _ in range(terms)]
    for (size, seconds, _), weight in zip(points, weights, strict=True):
        powers = [(size / unit) ** power for power in range(terms)]
        for row, power in zip(rows, powers, strict=True):
            for place, value in enumerate((*powers, seconds)):
                row[place] += weight * power * value
    answer = solve(rows)
    if answer is None:
        return None
    return Polynomial(*(value / unit**power for power, value in enumerate(answer)))
