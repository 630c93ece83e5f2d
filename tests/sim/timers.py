"""Virtual time: what asyncio's loop offers an engine, without the waiting."""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Timer:
    """A callback that is due; ordered by time, then by who asked first."""

    __slots__ = ("callback", "due_s", "number")

    def __init__(self, due_s: float, number: int, callback: Callable[[], None]) -> None:
        self.due_s = due_s
        self.number = number
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: Timer) -> bool:
        return (self.due_s, self.number) < (other.due_s, other.number)

    def cancel(self) -> None:
        self.callback = None


class VirtualTimers:
    """Implements `engines.fake.Timers` over a heap."""

    def __init__(self) -> None:
        self._now = 0.0
        self._heap: list[Timer] = []
        self._number = 0

    def time(self) -> float:
        return self._now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        self._number += 1
        timer = Timer(self._now + delay, self._number, callback)
        heapq.heappush(self._heap, timer)
        return timer

    def run(self, calls_max: int = 1_000_000) -> None:
        """Let time pass until nothing is due."""
        for _ in range(calls_max):
            if not self._heap:
                return
            timer = heapq.heappop(self._heap)
            if timer.callback:
                self._now = timer.due_s
                timer.callback()
        raise AssertionError("time goes on for ever")
