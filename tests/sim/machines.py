"""What steps cost on real machines, as data: the simulator's cost model.

`python -m tests.sim.measure_machine MODEL.gguf` measures a machine and prints the value to put here.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace

Curve = tuple[tuple[int, float], ...]
"""Sizes in growing order, each with its milliseconds."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine with one model file, as a worker runs it."""

    name: str
    model: str
    """The file that was measured."""
    decode_ms: Curve
    """A decode step by its rows, caches of `cells`."""
    chunk_ms: Curve
    """A prompt's chunk by its tokens, in an empty cache."""
    ns_per_token_cell: float
    """What a cached cell adds to each token that attends to it."""
    cells: int
    """The length of the caches that the decode steps were measured with."""
    abort_ms: float
    """From the wish to break a step off to its end."""

    def step_s(self, *, rows: int, tokens_each: int, longest_cells: int) -> float:
        """Seconds of one step; `longest_cells` is the longest of its sequences when it ends."""
        tokens = rows * tokens_each
        if tokens_each == 1:
            usual_cells, measured_ms = self.cells, _at(self.decode_ms, rows)
        else:
            usual_cells, measured_ms = tokens_each, _at(self.chunk_ms, tokens)
        attention_ms = self.ns_per_token_cell * tokens * (longest_cells - usual_cells) / 1e6
        return max(measured_ms + attention_ms, measured_ms / 2) / 1e3

    def slowed(self, times: float) -> Machine:
        """The same machine where every step takes so many times as long."""
        return replace(
            self,
            decode_ms=tuple((size, times * ms) for size, ms in self.decode_ms),
            chunk_ms=tuple((size, times * ms) for size, ms in self.chunk_ms),
            ns_per_token_cell=times * self.ns_per_token_cell,
        )


def _at(curve: Curve, size: int) -> float:
    """A curve's value: between its points on a line, beyond its ends in proportion."""
    sizes = [point for point, _ in curve]
    index = bisect_left(sizes, size)
    if index in (0, len(curve)):
        nearest, ms = curve[min(index, len(curve) - 1)]
        return ms * size / nearest
    (low, low_ms), (high, high_ms) = curve[index - 1], curve[index]
    return low_ms + (high_ms - low_ms) * (size - low) / (high - low)


TWO_CORES = Machine(
    name="two cores of an AMD EPYC",
    model="qwen0.5b-q8_0.gguf",
    decode_ms=(
        (1, 19.3),
        (2, 52.1),
        (3, 66.7),
        (4, 74.5),
        (5, 91.2),
        (6, 107.9),
        (7, 120.3),
        (8, 85.3),
        (10, 126.2),
        (12, 108.2),
        (16, 113.4),
    ),
    chunk_ms=(
        (2, 34.6),
        (4, 51.0),
        (8, 62.1),
        (16, 93.7),
        (32, 142.9),
        (48, 209.3),
        (64, 277.1),
        (96, 405.9),
        (128, 497.1),
    ),
    ns_per_token_cell=859.3,
    cells=65,
    abort_ms=2.4,
)
"""Half a billion parameters in Q8_0."""
MACHINES = {"two-cores": TWO_CORES}
