"""SABER as its paper has it: two queues, a window, and one curve of speed over load.

The yardstick for `policies.saber`, kept as published (arXiv 2506.19677, section IV, and its replication package) and
therefore with its weaknesses: it looks at a clock, knows no prompt, and freezes what a request needs when it starts.

1. Who comes joins the high queue. About every second those whose promise has run out go to the low one.
2. A turn tests one of the first 20 of the high queue. It needs `tokens_max` over the time it has left.
3. Who needs more than 100 tokens/s joins the low queue for good.
4. It starts where one more leaves a speed that is enough for it and for everyone who was started so; else it goes
   to the queue's tail.
5. Only while the high queue is empty does the low one send its oldest, untested.

Changed: the choice in the window is a hash instead of chance, the constants are those that were fitted (those in the authors' script
make the curve explode at 33), a load is counted once, and a turn comes every 10 ms, since neither the script's wrong constants
nor its 100 ms agree with the waits that the authors measured. Those of the low queue are not in the load, as in the script.
"""

from __future__ import annotations

from collections.abc import Sequence

from policies.candidate import Candidate, Verdict

WINDOW = 20
SPEED_MAX_PER_S = 100.0
"""What one request needs at most: more, the paper's engine never reaches."""
TURN_S = 0.01
EXPIRY_S = 1.0
LOAD_MAX = 60
"""The curve was measured up to here, and turns up again beyond."""


def speed_per_s(load: int) -> float:
    """Tokens per second of each of `load` requests: the universal scalability law with the paper's fit."""
    load = min(load, LOAD_MAX)
    return 102.55 / (1 + 0.02996 * load - 0.000146 * load**2)


class PublishedSaber:
    """The paper's admission policy, one object a model."""

    def __init__(self) -> None:
        self._high: list[int] = []
        self._low: list[int] = []
        self._needs: dict[int, float] = {}
        """Tokens per second that each of those started from the high queue needed then."""
        self._turn_s = 0.0
        self._scan_s = 0.0
        self._turns = 0

    def next(
        self, waiting: Sequence[Candidate], running: Sequence[Candidate], *, now: float
    ) -> Verdict:
        """One turn where one is due; otherwise when the next is."""
        seen = {one.id: one for one in waiting}
        self._forget(seen, {one.id for one in running})
        if now < self._turn_s:
            return Verdict(wake_s=self._turn_s)
        self._turn_s = now + TURN_S
        if now >= self._scan_s:
            self._scan_s = now + EXPIRY_S
            self._demote([key for key in self._high if _left_s(seen[key], now) <= 0])
        start = self._try(seen, now) if self._high else next(iter(self._low), None)
        return Verdict(start=start, wake_s=self._turn_s if waiting else None)

    def _forget(self, seen: dict[int, Candidate], running: set[int]) -> None:
        self._high = [key for key in self._high if key in seen]
        self._low = [key for key in self._low if key in seen]
        known = {*self._high, *self._low}
        self._high += [key for key in seen if key not in known]
        self._needs = {key: need for key, need in self._needs.items() if key in running}

    def _demote(self, ids: list[int]) -> None:
        self._low += ids
        self._high = [key for key in self._high if key not in ids]

    def _try(self, seen: dict[int, Candidate], now: float) -> int | None:
        """Test one of the window: its key where it may start."""
        self._turns += 1
        window = self._high[:WINDOW]
        key = window[self._turns * 2654435761 % 2**32 * len(window) >> 32]
        left_s = _left_s(seen[key], now)
        if left_s <= 0 or seen[key].tokens_max / left_s > SPEED_MAX_PER_S:
            self._demote([key])
            return None
        need = seen[key].tokens_max / left_s
        if speed_per_s(len(self._needs) + 1) >= max([need, *self._needs.values()]):
            self._needs[key] = need
            return key
        self._high.remove(key)
        self._high.append(key)
        return None


def _left_s(one: Candidate, now: float) -> float:
    """Seconds until its promise runs out; a minute for one that was promised no whole answer."""
    return 60.0 if one.whole_due_s is None else one.whole_due_s - now
