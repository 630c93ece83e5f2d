"""How many promises could be kept at all: an upper bound on every policy, even one that knows the whole run before.

A linear programme. Time is cut at each arrival and each deadline. In piece i the engine makes K_i steps (a real number), and
request j takes part in y_ij of them, each a token of its own. For a request kept to the share x_j:

1. its tokens fall between its arrival and its deadline, and sum to x_j times its length;
2. y_ij <= K_i, since a step gives it one token, and y_ij <= x_j times the steps of one who is alone;
3. the steps of a piece, with the prompts evaluated in it, fit into it. A step of n takes tau(n) seconds; for every
   line a + b n below tau, the steps of a piece take at least a K_i + b (sum of its y_ij). A prompt's seconds may
   fall anywhere between arrival and deadline.

Maximise the sum of x_j. Whatever a policy does gives values that satisfy all of it, with x_j = 1 where it kept the
promise and 0 elsewhere (tokens of those it did not keep are left out, which only frees time): so no policy keeps more.
It needs scipy (`pip install '.[paper]'`); `tests.sim.paper.limits` says so where it is missing.

It is not tight: a share of a request counts here, requests may pause, and a piece's steps may be of any mean size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from tests.sim.paper.arrivals import Arrival
from tests.sim.paper.serving import token_s


def lines_below(most: int) -> list[tuple[float, float]]:
    """(a, b) of the lines that bound a step's seconds from below: the lower convex hull for 1 to `most` sequences."""
    hull: list[tuple[int, float]] = []
    for n in range(1, most + 1):
        point = (n, token_s(n))
        while len(hull) >= 2 and _slope(hull[-2], point) <= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(point)
    return [
        (low[1] - _slope(low, high) * low[0], _slope(low, high)) for low, high in pairwise(hull)
    ]


def _slope(low: tuple[int, float], high: tuple[int, float]) -> float:
    return (high[1] - low[1]) / (high[0] - low[0])


def kept_at_most(requests: Sequence[Arrival], *, prefill_s: float) -> float:
    """An upper bound on the promises of one run that any policy can keep."""
    programme = _Programme(requests, prefill_s)
    answer = linprog(
        programme.cost,
        A_ub=programme.matrix(),
        b_ub=programme.most,
        bounds=programme.bounds,
        method="highs-ipm",
    )
    assert answer.status == 0, answer.message
    return float(-answer.fun)


class _Programme:
    """Columns: x_j, then K_i, then y_ij and p_ij (prompt seconds) of each piece that lies in j's time."""

    def __init__(self, requests: Sequence[Arrival], prefill_s: float) -> None:
        cuts = sorted({r.at_s for r in requests} | {r.due_s for r in requests})
        pieces = list(pairwise(cuts))
        jobs = len(requests)
        self.bounds: list[tuple[float, float | None]] = [(0.0, 1.0)] * jobs + [(0.0, None)] * len(
            pieces
        )
        self.cost = [-1.0] * jobs + [0.0] * len(pieces)
        self.most: list[float] = []
        self._entries: list[tuple[int, int, float]] = []
        inside: list[list[tuple[int, int]]] = [[] for _ in pieces]
        for j, request in enumerate(requests):
            tokens, prompt = [(j, float(request.task.tokens))], [(j, prefill_s)]
            for i, (start, end) in enumerate(pieces):
                if request.at_s <= start and end <= request.due_s:
                    y, p = self._column(), self._column()
                    tokens.append((y, -1.0))
                    prompt.append((p, -1.0))
                    inside[i].append((y, p))
                    self._row([(y, 1.0), (jobs + i, -1.0)], 0.0)
                    self._row([(y, 1.0), (j, -(end - start) / token_s(1))], 0.0)
            self._row(tokens, 0.0)
            self._row(prompt, 0.0)
        for i, (start, end) in enumerate(pieces):
            for a, b in lines_below(jobs):
                costs = [(y, b) for y, _ in inside[i]] + [(p, 1.0) for _, p in inside[i]]
                self._row([(jobs + i, a), *costs], end - start)

    def matrix(self) -> coo_matrix:
        """The left sides, one row a rule."""
        rows, columns, values = (np.array(side) for side in zip(*self._entries, strict=True))
        return coo_matrix((values, (rows, columns)), shape=(len(self.most), len(self.cost)))

    def _column(self) -> int:
        self.cost.append(0.0)
        self.bounds.append((0.0, None))
        return len(self.cost) - 1

    def _row(self, entries: list[tuple[int, float]], most: float) -> None:
        self._entries += [(len(self.most), column, value) for column, value in entries]
        self.most.append(most)
