"""The worker's own ledger of the cache, and the choice of the sequence that a new prompt runs in.

Rule 1. A sequence holds positions 0..n-1 without gaps; the ledger knows the token at each and which cell it is.
Rule 2. A cell may have several owners (a shared prefix); it is free when the last one lets go.
Rule 3. Reuse and trimming are decided from the ledger, never guessed from llama.cpp (ENGINE.md 5).
Rule 4. A prompt never reuses all of itself: its last token is evaluated again, because its logits are needed.
Rule 5. Where the architecture cannot trim (sliding window, recurrent), a cached sequence is reused only when
        all of it is the beginning of the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count


class Ledger:
    """Which sequence owns which cells, and what they hold."""

    def __init__(self, sequences: int) -> None:
        self._tokens: list[list[int]] = [[] for _ in range(sequences)]
        self._cells: list[list[int]] = [[] for _ in range(sequences)]
        self._owners: dict[int, int] = {}
        self._fresh = count()

    @property
    def used_cells(self) -> int:
        """Cells that have an owner."""
        return len(self._owners)

    def tokens(self, sequence: int) -> Sequence[int]:
        """Return what a sequence holds, by position."""
        return self._tokens[sequence]

    def length(self, sequence: int) -> int:
        """Return how many positions a sequence holds."""
        return len(self._tokens[sequence])

    def owners(self, sequence: int, position: int) -> int:
        """Return how many sequences own this cell."""
        return self._owners[self._cells[sequence][position]]

    def append(self, sequence: int, tokens: Sequence[int]) -> None:
        """Record tokens that were evaluated behind what the sequence held."""
        cells = [next(self._fresh) for _ in tokens]
        self._tokens[sequence] += tokens
        self._cells[sequence] += cells
        self._owners.update(dict.fromkeys(cells, 1))

    def truncate(self, sequence: int, length: int) -> None:
        """Let go of everything from position `length` on."""
        for cell in self._cells[sequence][length:]:
            self._owners[cell] -= 1
            if not self._owners[cell]:
                del self._owners[cell]
        del self._tokens[sequence][length:]
        del self._cells[sequence][length:]

    def share(self, source: int, target: int, length: int) -> None:
        """Make an empty `target` own the first `length` cells of `source` as well."""
        assert not self._tokens[target], "a prefix is shared only with an empty sequence"
        self._tokens[target] = self._tokens[source][:length]
        self._cells[target] = self._cells[source][:length]
        for cell in self._cells[target]:
            self._owners[cell] += 1

    def freed_by(self, sequence: int) -> int:
        """Return how many cells would be free if this sequence were emptied."""
        return sum(self._owners[cell] == 1 for cell in self._cells[sequence])


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a prompt will run: in `sequence`, with the first `cached` tokens taken from `source`."""

    sequence: int
    source: int
    cached: int


def shared_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many tokens two lists have in common at their beginning."""
    most = min(len(a), len(b))
    if a[:most] == b[:most]:
        return most
    low, high = 0, most
    while (
        low < high
    ):  # halving compares slices in C; a loop over tokens would take 100 times longer
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def best_prefix(
    ledger: Ledger, prompt: Sequence[int], sequences: Sequence[int], *, can_trim: bool
) -> tuple[int, int]:
    """Return (sequence, tokens reusable) of the cached sequence that shares most with the prompt."""
    best, most = -1, 0
    for sequence in sequences:
        held = ledger.tokens(sequence)
        shared = min(shared_prefix(held, prompt), len(prompt) - 1)
        if not can_trim and shared < len(held):
            shared = 0
        if shared > most:
            best, most = sequence, shared
    return best, most


def seat(
    ledger: Ledger,
    prompt: Sequence[int],
    idle: Sequence[int],
    busy: Sequence[int],
    *,
    can_trim: bool,
) -> Seat:
    """Choose where a prompt runs. `idle` is ordered by last use, oldest first, and is not empty.

    1. Nothing cached helps: the oldest idle sequence, emptied.
    2. An idle sequence is the beginning of the prompt, or most of it would be kept anyway: go on in it.
    3. Otherwise share the prefix with the oldest other idle sequence, and keep the source as it is: the next
       prompt may be closer to it. A busy source is always shared.
    """
    source, cached = best_prefix(ledger, prompt, [*idle, *busy], can_trim=can_trim)
    if source < 0:  # 1
        return Seat(idle[0], idle[0], 0)
    keeps_most = 2 * cached >= ledger.length(source)
    if source in idle and (keeps_most or len(idle) == 1 or not can_trim):  # 2
        return Seat(source, source, cached)
    if not can_trim:
        return Seat(idle[0], idle[0], 0)
    target = next(sequence for sequence in idle if sequence != source)  # 3
    return Seat(target, source, cached)
