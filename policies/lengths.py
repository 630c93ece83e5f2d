"""How long answers turn out, by kind: what may be expected of the next one, instead of the most it is allowed."""

from __future__ import annotations

import math

from policies.request import Kind

SHARE = 0.9
"""So many answers are not longer than what is expected."""
DECAY = 0.98
"""What is left of the past after one more answer of a kind: the last 50 make two thirds."""
PER_DOUBLING = 2
"""Bins of a histogram to a doubling of the length."""
BINS = 2 * 20 + 1
"""The last bin takes everything from a million tokens on."""
SEEN_MIN = 5
"""Answers before they are believed rather than the limit."""
LONGER_MIN = 0.5
"""Answers at least as long as this one, decayed, before they are believed of it."""


class Lengths:
    """Decayed histograms of answers' tokens, one a kind; the edges of bins are powers of the root of 2."""

    def __init__(self) -> None:
        self._counts: dict[Kind, list[float]] = {}
        self._seen: dict[Kind, int] = {}
        self._asked: dict[tuple[Kind, int], float] = {}
        """The edge of the bin where such answers end, by kind and first bin, since one ended."""

    def observe(self, kind: Kind, tokens: int) -> None:
        """An answer of so many tokens has ended by itself or at its limit."""
        counts = self._counts.setdefault(kind, [0.0] * BINS)
        for index, count in enumerate(counts):
            counts[index] = count * DECAY
        counts[_bin(tokens)] += 1
        self._seen[kind] = self._seen.get(kind, 0) + 1
        self._asked.clear()

    def expected(self, kind: Kind, *, tokens_max: int, produced: int = 0) -> float:
        """Return the output tokens that are still to come, at least 1: nine in ten such answers need no more.

        Of answers that are as long as this one already: who has written 100 tokens is not expected to have ended
        at 50. The caller's limit where too few were seen.
        """
        left = float(max(1, tokens_max - produced))
        if self._seen.get(kind, 0) < SEEN_MIN:
            return left
        asked = kind, _bin(produced + 1)
        if asked not in self._asked:
            self._asked[asked] = self._most(*asked)
        return min(left, max(1.0, self._asked[asked] - produced))

    def _most(self, kind: Kind, first: int) -> float:
        """The tokens of nine in ten answers that reached a bin; without bound where too few did."""
        counts = self._counts[kind]
        longer = sum(counts[first:])
        if longer < LONGER_MIN:
            return math.inf
        short = SHARE * longer
        for index in range(first, BINS):
            short -= counts[index]
            if short <= 0:
                return float(_edge(index))
        return math.inf


def _bin(tokens: int) -> int:
    """The bin whose upper edge is the first that is not below."""
    return min(BINS - 1, math.ceil(PER_DOUBLING * math.log2(max(1, tokens))))


def _edge(index: int) -> int:
    """The upper edge of a bin."""
    return math.floor(2 ** (index / PER_DOUBLING))
