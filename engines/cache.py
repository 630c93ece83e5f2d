"""The cache of one context: its sequences, the prompts kept beside it, and everything that moves KV.

Rule 1. The ledger changes exactly when llama.cpp has said that the cache did.
Rule 2. A prompt that ended stays in its sequence until another one needs that sequence; then it is kept in the host's
        memory, where the least recently used ones give way. Bringing it back costs a copy, not a prefill. What is kept
        costs the running ones nothing: no sequence attends over another's cells (ENGINE.md 7).
Rule 3. Whatever went wrong in a decode, ledger and cache have the same length when `evaluate` returns, and a token whose
        logits were wanted and lost is not in it: it will be evaluated again (ENGINE.md 10).
Rule 4. Nothing is saved, and no step may be broken off, while the keys of a moved chunk wait to be turned: they would
        be saved, or left, unturned under their new positions (ENGINE.md 16).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.engine import Parked
from engines.kv import Ledger, Place, place, reusable
from engines.llama import DECODED, Context, Feed
from engines.parking import Geometry, ParkedError
from engines.pocket import Pocket

KEPT_MIN_TOKENS = 48
"""A shorter prompt is not kept: evaluating it again takes hardly longer than copying it."""
CELLS_TURNED_PER_TOKEN = 256
"""A shift passes over every cell there is, used or not; so many cells take as long as evaluating one token."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A prompt in the host's memory: its tokens, and its state as llama.cpp wrote it."""

    tokens: list[int]
    state: npt.NDArray[np.uint8]
    exact: int
    """How many of the tokens are no approximation."""


@dataclass(frozen=True, slots=True)
class Parking:
    """Where KV is parked in the daemon's memory, and what it must fit to come back (ENGINE.md 18)."""

    pocket: Pocket
    geometry: Geometry


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a prompt runs, and how many of its tokens are there; `shifted` of them are an approximation (ENGINE.md 14)."""

    sequence: int
    cached: int
    shifted: int = 0


class Cache:
    """The sequences of one context. `kept_bytes`: the most host memory for prompts that lost theirs."""

    def __init__(
        self, context: Context, *, can_trim: bool, can_shift: bool, kept_bytes: int
    ) -> None:
        self._context = context
        self._can_trim = can_trim
        cells = context.cells * context.sequences
        self._turn_tokens = cells // CELLS_TURNED_PER_TOKEN if can_shift else None
        self._kept_bytes_max = kept_bytes
        self._kept: list[Kept] = []
        """The least recently used first."""
        self.ledger = Ledger(context.sequences)
        self.turning = False
        """Whether keys wait for the next decode to turn them (rule 4)."""

    @property
    def kept_bytes(self) -> int:
        """Host memory that kept prompts take."""
        return sum(kept.state.nbytes for kept in self._kept)

    def cached_tokens(self, prompt: list[int]) -> int:
        """Return how much of a prompt is here. Safe in any thread, and so an estimate."""
        held = [self.ledger.tokens(sequence) for sequence in range(self._context.sequences)]
        held += [kept.tokens for kept in tuple(self._kept)]
        return max(reusable(tokens, prompt, can_trim=self._can_trim) for tokens in held)

    # --- where a prompt runs --------------------------------------------------------------------------

    def seat(self, prompt: list[int], idle: Sequence[int], busy: Sequence[int]) -> Seat:
        """Choose a sequence for a prompt and put there what can be reused. `idle`: the least recently used first."""
        chosen = place(
            prompt,
            self.ledger,
            idle,
            busy,
            [] if self.turning else [kept.tokens for kept in self._kept],
            can_trim=self._can_trim,
            turn_tokens=self._turn_tokens,
        )
        if chosen.chunks:
            self._move(chosen)
        elif chosen.kept is not None:
            self._bring_back(chosen, self._kept[chosen.kept])
        elif chosen.source == chosen.sequence:
            self._stay(chosen)
        else:
            self._copy(chosen)
        cached = self.ledger.length(chosen.sequence)
        return Seat(chosen.sequence, cached, cached - self.ledger.exact(chosen.sequence))

    def _stay(self, chosen: Place) -> None:
        if 2 * chosen.cached < self.ledger.length(chosen.sequence):
            self._keep(chosen.sequence)
        self.trim(chosen.sequence, chosen.cached)

    def _copy(self, chosen: Place) -> None:
        copy = None if chosen.source is None else self._saved(chosen.source)
        self.vacate(chosen.sequence)
        if copy:
            self._put(copy, chosen)

    def _bring_back(self, chosen: Place, kept: Kept) -> None:
        """Restore a kept prompt. It stays kept only if most of it is another's."""
        self._kept.remove(kept)
        self.vacate(chosen.sequence)
        self._put(kept, chosen)
        if 2 * chosen.cached < len(kept.tokens):
            self._add(kept)

    def _put(self, kept: Kept, chosen: Place) -> None:
        address, size = kept.state.ctypes.data, kept.state.nbytes
        self.restore(chosen.sequence, kept.tokens, address, size)
        self.ledger.doubt(chosen.sequence, kept.exact)
        self.trim(chosen.sequence, chosen.cached)

    def _move(self, chosen: Place) -> None:
        """Close the gaps before the chunks, one after the other."""
        sequence, dropped = chosen.sequence, 0
        at = chosen.cached - sum(chunk.length for chunk in chosen.chunks)
        for chunk in chosen.chunks:
            gap = chunk.start - dropped - at
            if gap:
                if not self._context.remove(sequence, at, at + gap):
                    break  # it has lost cells: what follows would come to lie beside what stays
                self._context.shift(sequence, at + gap, -gap)
                self.ledger.cut(sequence, at, at + gap)
                self.turning = True
            dropped += gap
            at += chunk.length
        self.trim(sequence, at)

    # --- letting go and taking back ---------------------------------------------------------------------

    def trim(self, sequence: int, length: int) -> None:
        """Cut a sequence to its first `length` cells; it is emptied where the architecture cannot."""
        if self.ledger.length(sequence) <= length:
            return
        if not self._context.remove(sequence, length):
            self._context.remove(sequence, 0)
            length = 0
        self.ledger.truncate(sequence, length)

    def vacate(self, sequence: int) -> None:
        """Empty a sequence; what it held is kept if that is worth it."""
        self._keep(sequence)
        self.trim(sequence, 0)

    def restore(self, sequence: int, tokens: Sequence[int], address: int, size: int) -> bool:
        """Fill an empty sequence from a state in memory; False, and it stays empty, where that is refused."""
        if not self._context.restore(sequence, address, size):
            self._context.remove(sequence, 0)
            return False
        self.ledger.append(sequence, tokens)
        if self._context.length(sequence) == len(tokens):
            return True
        self.trim(sequence, 0)
        return False

    def park(self, sequence: int, parking: Parking) -> Parked | None:
        """Write a sequence into memory that outlives this process; None where that cannot be.

        An approximation is not parked: nobody would know any more that it is one.
        """
        tokens, size = self.ledger.tokens(sequence), self._context.state_bytes(sequence)
        if self.turning or not tokens or self.ledger.exact(sequence) < len(tokens):  # rule 4
            return None
        try:
            return parking.pocket.save(
                parking.geometry,
                tokens,
                size,
                lambda address, room: self._context.save(sequence, address, room),
            )
        except ParkedError:
            return None

    def unpark(self, handle: int, prompt: list[int], idle: list[int], parking: Parking) -> None:
        """Bring parked KV back into the oldest idle sequence, if more of the prompt is there than here."""
        here = self.cached_tokens(prompt)
        try:
            with parking.pocket.restore(handle, parking.geometry) as saved:
                tokens = list(saved.tokens)
                if reusable(tokens, prompt, can_trim=self._can_trim) > here:
                    self.vacate(idle[0])
                    self.restore(idle[0], tokens, saved.address, saved.size_bytes)
        except ParkedError:
            pass  # it only saved time

    def _keep(self, sequence: int) -> None:
        """Keep what a sequence holds, unless that is little or is kept already."""
        held = self.ledger.tokens(sequence)
        covered = any(held == kept.tokens[: len(held)] for kept in self._kept)
        if len(held) >= KEPT_MIN_TOKENS and not covered and (saved := self._saved(sequence)):
            self._add(saved)

    def _saved(self, sequence: int) -> Kept | None:
        if self.turning:  # rule 4
            return None
        state = np.empty(self._context.state_bytes(sequence), np.uint8)
        written = self._context.save(sequence, state.ctypes.data, state.nbytes)
        tokens, exact = list(self.ledger.tokens(sequence)), self.ledger.exact(sequence)
        return Kept(tokens, state, exact) if written else None

    def _add(self, kept: Kept) -> None:
        self._kept.append(kept)
        while self.kept_bytes > self._kept_bytes_max:
            del self._kept[0]

    # --- steps ------------------------------------------------------------------------------------------

    def evaluate(self, feeds: Sequence[Feed], padding: Sequence[int] = ()) -> int:
        """Decode; the answer is llama.cpp's. Each idle sequence in `padding` evaluates a token that is thrown away."""
        pads = [Feed(s, self.ledger.length(s), (0,), wants_logits=False) for s in padding]
        code = self._context.decode([*feeds, *pads])
        for pad in pads:
            self._context.remove(pad.sequence, pad.position)
        if code != DECODED:
            for feed in feeds:
                self._reconcile(feed)
            return code
        self.turning = False
        for feed in feeds:
            self.ledger.append(feed.sequence, feed.tokens)
        return code

    def _reconcile(self, feed: Feed) -> None:
        """Rule 3. Sub-batches that were through are in the cache, their logits are not to be had."""
        if not self._can_trim:  # its state has moved on, and there is no way back
            self._context.remove(feed.sequence, 0)
            self.ledger.truncate(feed.sequence, 0)
            return
        done = max(0, self._context.length(feed.sequence) - feed.position)
        if done == len(feed.tokens) and feed.wants_logits:
            done -= 1
        self._context.remove(feed.sequence, feed.position + done)
        self.ledger.append(feed.sequence, feed.tokens[:done])
