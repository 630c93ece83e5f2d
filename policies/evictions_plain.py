"""The plain ways of choosing who leaves memory, which CACE is measured against: each an order, taken until it is enough.

In all of them who is idle leaves before who is busy, ties go by name, and pinned models never leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from policies.eviction import Choice, Demand, Line, Resident, ScoreSheet


@dataclass(frozen=True, slots=True)
class InTurn:
    """Victims in the order of a rank: the smallest leaves first."""

    name: str
    rank: Callable[[Resident, Demand], float]

    def choose(
        self, residents: Sequence[Resident], shortfall_bytes: int, demand: Demand, now: float
    ) -> Choice | None:
        """The first in the order, as many as it takes."""
        ranks = {one.name: self.rank(one, demand) for one in residents}
        free = [one for one in residents if not one.pinned]
        chosen: list[str] = []
        freed = 0
        for one in sorted(free, key=lambda o: (o.busy is not None, ranks[o.name], o.name)):
            if freed >= shortfall_bytes:
                break
            chosen.append(one.name)
            freed += one.need_bytes
        if freed < shortfall_bytes:
            return None
        lines = tuple(
            Line(one.name, (), ranks[one.name], one.name in chosen, "pinned" if one.pinned else "")
            for one in residents
        )
        return Choice(tuple(chosen), ScoreSheet(self.name, "rank", now, shortfall_bytes, lines))


LRU = InTurn("lru", lambda one, _: one.used_s)
"""The least recently used first, as `policies.baselines.lru_victims`."""
LFU = InTurn("lfu", lambda one, _: one.uses)
"""The least often used first; the past fades."""
LARGEST = InTurn("largest", lambda one, _: -one.need_bytes)
"""The largest first, so that few leave."""
KEEP_ALIVE = InTurn("keep-alive", lambda one, _: one.keep_alive_s)
"""The one with the shortest keep-alive first, by name where they are alike, whenever each was used: Ollama's order."""
