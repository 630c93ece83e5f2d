"""Parking a sequence as the worker does, into the daemon's memory, and bringing it back: beside evaluating it again.

Alone, and with seven other sequences that were filled in turns with it (ENGINE.md 18).
"""

import contextlib
import random
import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engines.cache import Cache, Parking
from engines.llama import DECODED, Feed
from engines.parking import Geometry
from engines.pocket import Pocket
from engines.resident import SUB_BATCH_CPU
from engines.shelf import Shelf
from engines.wire import Hand, Lend, send_descriptor
from tests.bench.figures import percentile
from tests.bench.native_engine import SEQUENCES, NativeEngine

SIZES = (128, 512, 2048)
SHELF_BYTES = 1 << 34
GEOMETRY = Geometry("bench", "", 0, 0, 0, "f16", "auto", "")
"""The same on both sides; comparing it takes no time worth measuring."""


@dataclass(frozen=True, slots=True)
class Round:
    """One sequence evaluated, parked and restored."""

    prefill_ms: float
    park_ms: float
    restore_ms: float
    size_bytes: int


class Desk:
    """The daemon's shelf and a worker's pocket in one process."""

    def __init__(self, ends: tuple[socket.socket, socket.socket]) -> None:
        self._ours, theirs = ends
        self._shelf = Shelf(SHELF_BYTES)
        self.parking = Parking(Pocket(theirs), GEOMETRY)

    def hand(self) -> None:
        """Give the pocket empty memory."""
        handle, fd = self._shelf.blank()
        send_descriptor(self._ours, handle, fd)
        self.parking.pocket.receive(Hand(handle, SHELF_BYTES))

    def lend(self, handle: int) -> int:
        """Keep what was parked and lend it to the pocket; return its size in bytes."""
        size_bytes, fd = self._shelf.keep(handle), self._shelf.find(handle)
        assert size_bytes is not None
        assert fd is not None
        send_descriptor(self._ours, handle, fd)
        self.parking.pocket.receive(Lend(handle))
        return size_bytes

    def drop(self, handle: int) -> None:
        self._shelf.drop(handle)


@contextlib.contextmanager
def desk() -> Iterator[Desk]:
    """A desk whose sockets are closed afterwards."""
    ends = socket.socketpair()
    with ends[0], ends[1]:
        yield Desk(ends)


def measure(engine: NativeEngine, rounds: int) -> Iterator[dict[str, object]]:
    """Every size, alone and interleaved."""
    with desk() as one:
        for tokens in SIZES:
            for others in (0, SEQUENCES - 1):
                roll = random.Random(tokens)
                seen = [_round(engine, one, tokens, others, roll) for _ in range(1 + rounds)]
                yield _found(f"park {tokens} tokens, {others} others", seen[1:])  # one warms up


def _round(
    engine: NativeEngine, desk: Desk, tokens: int, others: int, roll: random.Random
) -> Round:
    """Sequence 0 is parked and comes back in the last one, which is emptied for it."""
    engine.empty()
    can = engine.abilities
    cache = Cache(engine.context, can_trim=can.trim, can_shift=can.shift, kept_bytes=0)
    prefill_s = _fill(cache, {0: engine.tokens(tokens, roll)})
    if others:
        cache.trim(0, 0)
        _fill(cache, {n: engine.tokens(tokens, roll) for n in range(1 + others)})
    desk.hand()
    began = time.perf_counter()
    parked = cache.park(0, desk.parking)
    park_s = time.perf_counter() - began
    assert parked, "it was not parked"
    size_bytes = desk.lend(parked.handle)
    cache.trim(SEQUENCES - 1, 0)
    began = time.perf_counter()
    with desk.parking.pocket.restore(parked.handle, GEOMETRY) as saved:
        restored = cache.restore(SEQUENCES - 1, saved.tokens, saved.address, saved.size_bytes)
    restore_s = time.perf_counter() - began
    assert restored, "it was not restored"
    desk.drop(parked.handle)
    return Round(1e3 * prefill_s, 1e3 * park_s, 1e3 * restore_s, size_bytes)


def _fill(cache: Cache, prompts: dict[int, Sequence[int]]) -> float:
    """Evaluate prompts in turns, each step a sub-batch of them all; return the seconds it took."""
    each = SUB_BATCH_CPU // len(prompts)
    longest = max(map(len, prompts.values()))
    began = time.perf_counter()
    for start in range(0, longest, each):
        feeds = [
            Feed(sequence, start, tokens[start : start + each], wants_logits=True)
            for sequence, tokens in prompts.items()
        ]
        assert cache.evaluate(feeds) == DECODED
    return time.perf_counter() - began


def _found(name: str, rounds: Sequence[Round]) -> dict[str, object]:
    columns = {
        key: [getattr(one, key) for one in rounds]
        for key in ("prefill_ms", "park_ms", "restore_ms")
    }
    found: dict[str, object] = {"name": name, "size_bytes": rounds[0].size_bytes}
    for key, values in columns.items():
        found[key] = statistics.median(values)
        found[f"{key[:-3]}_p95_ms"] = percentile(values, 0.95)
    return found
