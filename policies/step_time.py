"""What a step costs on this machine, learnt from the steps that ran. Nothing about a machine is assumed.

A step is a rectangle: `rows` sequences of `tokens_each` tokens, one graph. Its time is not a smooth function of its
size (eight rows can cost less than seven), so each size has an entry of its own; what grows smoothly is on top:

    seconds = pace * (entry(size) + slope * tokens * (longest_cells - the entry's usual longest_cells))

`pace` is the machine's speed, shared by all entries: when it changes, what was measured before stays comparable.
`slope` is the price of attention (ENGINE.md 7), a regression within entries. Entries and pace are geometric means
that forget; a step counts by its ratio to the prediction, within limits, so that one step that the operating system
interrupted moves little.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

PRIOR_S = 0.01
"""A token, before any step was measured: slow on purpose, so that a first chunk is short."""
EXACT_TOKENS = 32
"""Up to here each size has its entry; above it there are eight entries to a doubling."""
ENTRY_RATE = 0.1
"""The weight of a step in its entry."""
PACE_RATE = 0.2
"""The weight of a step in the pace: a machine that becomes three times as slow is known some ten steps later."""
RATIO_MAX = 1.5
"""A step counts as at most so many times slower or quicker than predicted."""
FIRST_RATIO_MAX = 2.0
"""An entry's first step counts as at most so many times slower than its neighbours say."""
TRIED = 2
"""Steps after which an entry is believed."""
SLOPE_DECAY = 0.98
SLOPE_RIDGE_CELLS2 = 2e6
"""What speaks for a slope of 0: some 50 steps whose caches differed by 200 cells outweigh it."""
FLOOR = 0.25
"""The least part of an entry that a prediction keeps, however short the cache is."""


@dataclass(slots=True)
class _Entry:
    """What steps of one size took, at pace 1, and the longest cache they had, on average."""

    cost_s: float
    cells: float
    steps: int = 1
    last: int = 0
    """The number of the step that was the latest of this size."""


class _Table:
    """Entries by size."""

    def __init__(self) -> None:
        self.entries: dict[int, _Entry] = {}
        self._sizes: list[int] = []

    def add(self, size: int, entry: _Entry) -> None:
        self.entries[size] = entry
        insort(self._sizes, size)

    def at(self, size: int) -> tuple[float, float]:
        """Return cost and cells: an entry's, a mixture of the two beside it, or in proportion beyond the ends."""
        if found := self.entries.get(size):
            return found.cost_s, found.cells
        index = bisect_left(self._sizes, size)
        if index in (0, len(self._sizes)):
            nearest = self._sizes[min(index, len(self._sizes) - 1)]
            entry = self.entries[nearest]
            return entry.cost_s * size / nearest, entry.cells
        low, high = self._sizes[index - 1], self._sizes[index]
        one, other = self.entries[low], self.entries[high]
        part = (size - low) / (high - low)
        return (
            one.cost_s + part * (other.cost_s - one.cost_s),
            one.cells + part * (other.cells - one.cells),
        )


class StepTimes:
    """Seconds of a step, by its shape.

    Steps of one token a row have a table of their own: each of their rows is also projected on the vocabulary.
    """

    def __init__(self) -> None:
        self._decode = _Table()
        self._prefill = _Table()
        self._pace = 1.0
        self._covariance = 0.0
        self._variance = 0.0
        self._steps = 0

    def predict(self, *, rows: int, tokens_each: int, longest_cells: int = 0) -> float:
        """Return the seconds that a step of this shape will take.

        `longest_cells` is the length of the longest of its sequences when it ends.
        """
        tokens = rows * tokens_each
        table = self._table(tokens_each)
        if table is None:
            return PRIOR_S * tokens
        cost_s, cells = table.at(tokens)
        return self._pace * self._grown(cost_s, tokens * (longest_cells - cells))

    def observe(
        self, *, rows: int, tokens_each: int, longest_cells: int = 0, duration_s: float
    ) -> None:
        """Take one step that ran to its end into account; one of no time says nothing."""
        if duration_s <= 0:
            return
        self._steps += 1
        tokens = rows * tokens_each
        table = self._decode if tokens_each == 1 else self._prefill
        size = _size(tokens)
        entry = table.entries.get(size)
        predicted_s = self.predict(rows=rows, tokens_each=tokens_each, longest_cells=longest_cells)
        if entry is None:
            most_s = FIRST_RATIO_MAX * predicted_s if table.entries else duration_s
            cost_s = min(duration_s, most_s) / self._pace * size / tokens
            table.add(size, _Entry(cost_s, longest_cells, last=self._steps))
            return
        ratio = duration_s / predicted_s
        if entry.steps >= TRIED or ratio > 1:
            ratio = min(max(ratio, 1 / RATIO_MAX), RATIO_MAX)
        self._learn_slope(entry, tokens, longest_cells, ratio * predicted_s / self._pace)
        self._learn_entry(entry, size, longest_cells, ratio)

    def tokens_within(self, seconds: float, *, tokens_max: int, cells: int = 0) -> int:
        """Return how many tokens of one prompt, behind `cells` cached ones, fit into a time; at least 0."""
        low, high = 0, tokens_max
        while low < high:
            middle = (low + high + 1) // 2
            if self.predict(rows=1, tokens_each=middle, longest_cells=cells + middle) <= seconds:
                low = middle
            else:
                high = middle - 1
        return low

    def tried(self, rows: int) -> bool:
        """Whether decode steps of this width were measured often enough to be believed."""
        entry = self._decode.entries.get(_size(rows))
        return entry is not None and entry.steps >= TRIED

    def tried_chunk(self, tokens: int) -> bool:
        """Whether chunks of this size were measured often enough to be believed."""
        entry = self._prefill.entries.get(_size(tokens))
        return entry is not None and entry.steps >= TRIED

    def last(self, rows: int) -> int:
        """Return the number of the latest decode step of this width; 0 for none."""
        entry = self._decode.entries.get(_size(rows))
        return entry.last if entry else 0

    def _table(self, tokens_each: int) -> _Table | None:
        """The table for this shape; while it is empty, the other one is the better guess."""
        own, other = self._prefill, self._decode
        if tokens_each == 1:
            own, other = other, own
        if own.entries:
            return own
        return other if other.entries else None

    @property
    def _slope(self) -> float:
        return max(0.0, self._covariance / (self._variance + SLOPE_RIDGE_CELLS2))

    def _grown(self, cost_s: float, token_cells: float) -> float:
        """A cost at so much more, or less, attention."""
        return max(cost_s + self._slope * token_cells, FLOOR * cost_s)

    def _learn_slope(self, entry: _Entry, tokens: int, cells: int, cost_s: float) -> None:
        more_cells = cells - entry.cells
        more_s = (cost_s - entry.cost_s) / tokens
        self._covariance = self._covariance * SLOPE_DECAY + more_cells * more_s
        self._variance = self._variance * SLOPE_DECAY + more_cells * more_cells

    def _learn_entry(self, entry: _Entry, size: int, cells: int, ratio: float) -> None:
        """A step is interrupted, never hurried: of an entry's first steps the quickest is believed as it is."""
        young = entry.steps < TRIED
        rate = 1.0 if young and ratio < 1 else ENTRY_RATE
        moved = rate * (cells - entry.cells)
        entry.cells += moved
        entry.cost_s = self._grown(entry.cost_s, size * moved) * ratio**rate
        if not young:
            self._pace *= ratio**PACE_RATE
        entry.steps += 1
        entry.last = self._steps


def _size(tokens: int) -> int:
    """The entry that a number of tokens belongs to."""
    if tokens <= EXACT_TOKENS:
        return tokens
    width = 1 << (tokens.bit_length() - 4)
    return (tokens + width // 2) // width * width
