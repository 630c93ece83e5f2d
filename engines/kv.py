"""The worker's own ledger of the cache, and what of it a new prompt can use.

Rule 1. A sequence holds positions 0..n-1 without gaps; the ledger knows the token at each.
Rule 2. A cell has exactly one owner: each sequence has cells of its own, and a prefix that two prompts share is
        copied, not shared. So a shift can never move a cell under another sequence (ENGINE.md 15).
Rule 3. Reuse, trimming and shifting are decided from the ledger, never guessed from llama.cpp (ENGINE.md 5).
Rule 4. A prompt never reuses all of itself: its last token is evaluated again, because its logits are needed.
Rule 5. Where the architecture cannot trim (recurrent), what is held is reused only when all of it is the
        beginning of the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CHUNK_MIN_TOKENS = 32
"""A moved chunk must be at least so long: short ones match by accident and save nothing."""
COPY_SHARE = 16
"""A prefix is copied only from a sequence of at most so many times its length: all of it goes through the copy."""


class Ledger:
    """Which tokens each sequence holds, by position."""

    def __init__(self, sequences: int) -> None:
        self._tokens: list[list[int]] = [[] for _ in range(sequences)]
        self._exact = [0] * sequences

    @property
    def used_cells(self) -> int:
        """Cells that hold a token."""
        return sum(map(len, self._tokens))

    def tokens(self, sequence: int) -> list[int]:
        """Return what a sequence holds, by position; not to be changed."""
        return self._tokens[sequence]

    def length(self, sequence: int) -> int:
        """Return how many positions a sequence holds."""
        return len(self._tokens[sequence])

    def append(self, sequence: int, tokens: Sequence[int]) -> None:
        """Record tokens that were evaluated behind what the sequence held."""
        if self._exact[sequence] == len(self._tokens[sequence]):
            self._exact[sequence] += len(tokens)
        self._tokens[sequence] += tokens

    def truncate(self, sequence: int, length: int) -> None:
        """Let go of everything from position `length` on."""
        del self._tokens[sequence][length:]
        self.doubt(sequence, length)

    def cut(self, sequence: int, start: int, end: int) -> None:
        """Let go of the positions from `start` to before `end`; what follows moves down."""
        del self._tokens[sequence][start:end]
        self.doubt(sequence, start)

    def exact(self, sequence: int) -> int:
        """Return how many tokens at the beginning were evaluated behind just what stands before them (ENGINE.md 14)."""
        return self._exact[sequence]

    def doubt(self, sequence: int, start: int) -> None:
        """Record that from position `start` on cells were evaluated behind another text."""
        self._exact[sequence] = min(self._exact[sequence], start)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Held tokens from `start` on, `length` of them, that a prompt has at another position."""

    start: int
    length: int


def shared_prefix(a: list[int], b: list[int]) -> int:
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


def reusable(held: list[int], prompt: list[int], *, can_trim: bool) -> int:
    """Return how many tokens of a prompt need not be evaluated where `held` are in the cache (rules 4, 5)."""
    shared = min(shared_prefix(held, prompt), len(prompt) - 1)
    return shared if can_trim or shared == len(held) else 0


def moved_chunks(held: list[int], prompt: list[int], kept: int) -> list[Chunk]:
    """Return the chunks of `held` that go on where the first `kept` tokens of the prompt end.

    They are in order and do not overlap: dropping what lies between them makes the prompt's beginning of what is
    held. That is what happens when a window of text scrolls. (The idea is llama-server's `--cache-reuse`.)
    """
    chunks: list[Chunk] = []
    data, last = np.asarray(held, np.int32).tobytes(), len(prompt) - 1
    at, kept = kept, min(kept, last)
    while last - kept >= CHUNK_MIN_TOKENS:
        wanted = np.asarray(prompt[kept : kept + CHUNK_MIN_TOKENS], np.int32).tobytes()
        start = _find_aligned(data, wanted, at)
        if start < 0:
            break
        length = shared_prefix(held[start:], prompt[kept:last])
        chunks.append(Chunk(start, length))
        at, kept = start + length, kept + length
    return chunks


def _find_aligned(data: bytes, wanted: bytes, start: int) -> int:
    """Return the index of the first whole token at which `wanted` begins; -1 where it does not."""
    at = data.find(wanted, 4 * start)
    while at >= 0 and at % 4:
        at = data.find(wanted, at + 1)
    return at // 4 if at >= 0 else -1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a prompt will run, and where what is there of it comes from.

    `cached` tokens come from sequence `source` (which may be `sequence` itself), or from the kept prompt number `kept`,
    or from `chunks` of `sequence` that move behind its first tokens; `cached` counts those too.
    """

    sequence: int
    cached: int = 0
    source: int | None = None
    kept: int | None = None
    chunks: tuple[Chunk, ...] = ()


def place(
    prompt: list[int],
    ledger: Ledger,
    idle: Sequence[int],
    busy: Sequence[int],
    kept: Sequence[list[int]],
    *,
    can_trim: bool,
    turn_tokens: int | None,
) -> Place:
    """Choose where a prompt runs. `idle` is ordered by last use, the oldest first, and is not empty.

    1. An idle sequence holds chunks that moved, and moving them saves clearly more than any prefix does, also after
       paying for the turn of the keys (`turn_tokens`; None: nothing may be moved).
    2. A kept prompt has the longest beginning: it comes back to the oldest idle sequence.
    3. An idle sequence has it, and holds little else or is the only one: go on in it.
    4. A sequence has it, and is not so long that copying costs more than it saves: copy it.
    5. Nothing helps: the oldest idle sequence, emptied.
    """
    shared = {
        sequence: reusable(ledger.tokens(sequence), prompt, can_trim=can_trim)
        for sequence in (*reversed(idle), *busy)
    }
    source = max(shared, key=lambda sequence: shared[sequence])
    from_kept = [reusable(tokens, prompt, can_trim=can_trim) for tokens in kept]
    most, most_kept = shared[source], max(from_kept, default=0)
    if turn_tokens is not None:  # 1
        moved = _most_moved(prompt, ledger, idle, shared)
        if moved and moved.cached >= 2 * max(most, most_kept) + turn_tokens:
            return moved
    if most_kept > most:  # 2
        return Place(idle[0], most_kept, kept=from_kept.index(most_kept))
    length = ledger.length(source)
    if most and source in idle and (2 * most >= length or len(idle) == 1):  # 3
        return Place(source, most, source=source)
    others = [sequence for sequence in idle if sequence != source]
    if most and others and COPY_SHARE * most >= length:  # 4
        return Place(others[0], most, source=source)
    return Place(idle[0])  # 5


def _most_moved(
    prompt: list[int], ledger: Ledger, idle: Sequence[int], shared: dict[int, int]
) -> Place | None:
    found = [
        Place(
            sequence,
            shared[sequence] + sum(chunk.length for chunk in chunks),
            source=sequence,
            chunks=tuple(chunks),
        )
        for sequence in idle
        if shared[sequence]  # what moved to the very beginning would be nobody's continuation
        and (chunks := moved_chunks(ledger.tokens(sequence), prompt, shared[sequence]))
    ]
    return max(found, key=lambda place: place.cached, default=None)
