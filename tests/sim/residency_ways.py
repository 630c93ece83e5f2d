"""The ways of choosing that a residency day is played with: ours, ours with one source missing, the plain ones, and hindsight."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from policies.cace import Cace
from policies.cace_published import PUBLISHED
from policies.eviction import Choice, Demand, Eviction, Line, Resident, ScoreSheet
from policies.evictions_plain import KEEP_ALIVE, LARGEST, LFU, LRU
from tests.sim.residency_world import World

IDLE_S = 300.0
"""Ollama unloads what has been idle for so long."""


class Clairvoyant:
    """Belady with costs: it knows every use to come, and lets those go that cost least to load for the time they are away.

    The set with the smallest sum of reload over time until the next use. Not the best there is,
    which is hard to compute where sizes differ, but what a greedy choice can do that never errs about the future.
    """

    def __init__(self, world: World) -> None:
        self._came = world.came
        self._uses: dict[str, list[tuple[float, int]]] = {}
        for index, use in enumerate(world.trace.uses):
            self._uses.setdefault(use.model, []).append((use.at_s, index))
        self._at = dict.fromkeys(self._uses, 0)

    def choose(
        self, residents: Sequence[Resident], shortfall_bytes: int, demand: Demand, now: float
    ) -> Choice | None:
        """The cheapest set; who is busy or waited for is needed now."""
        losses = {one.name: one.reload_s / self._away_s(one, demand, now) for one in residents}
        best: tuple[float, tuple[str, ...]] | None = None
        for mask in range(1, 1 << len(residents)):
            chosen = [one for bit, one in enumerate(residents) if mask >> bit & 1]
            if sum(one.need_bytes for one in chosen) >= shortfall_bytes:
                names = tuple(one.name for one in chosen)
                total = sum(losses[name] for name in names)
                best = min(best or (math.inf, ()), (total, names))
        if best is None:
            return None
        lines = tuple(Line(name, (), loss, name in best[1]) for name, loss in losses.items())
        return Choice(best[1], ScoreSheet("clairvoyant", "loss", now, shortfall_bytes, lines))

    def _away_s(self, one: Resident, demand: Demand, now: float) -> float:
        """Seconds until its next use; more than any day where there is none."""
        if one.busy is not None:
            return 0.01
        if one.name in demand.queued:
            return 1.0
        uses, at = self._uses.get(one.name, []), self._at.get(one.name, 0)
        while at < len(uses) and uses[at][1] in self._came:
            at += 1
        self._at[one.name] = at
        return max(1.0, uses[at][0] - now) if at < len(uses) else 1e9


@dataclass(frozen=True)
class Blind:
    """Ours without one of its sources."""

    source: str

    def choose(
        self, residents: Sequence[Resident], shortfall_bytes: int, demand: Demand, now: float
    ) -> Choice | None:
        """What it chooses when it is not told."""
        told = [self._resident(one) for one in residents]
        return Cace().choose(told, shortfall_bytes, self._demand(demand), now)

    def _resident(self, one: Resident) -> Resident:
        match self.source:
            case "reload":
                return replace(one, reload_s=2.0)
            case "kept":
                return replace(one, kept_s=0.0)
            case "sensitivity":
                return replace(one, classes=())
            case "brevity":
                return replace(one, tokens=0.0)
            case "busy":
                return replace(one, busy=None)
            case _:
                return one

    def _demand(self, demand: Demand) -> Demand:
        match self.source:
            case "queue":
                return replace(demand, queued=())
            case "chains":
                return replace(demand, chains=())
            case "editors":
                return replace(demand, editors=frozenset())
            case "pauses":
                return replace(demand, habit={})
            case "order":
                return replace(demand, order={})
            case "learnt":
                return replace(demand, habit={}, order={})
            case "foresight":
                return replace(demand, habit={}, order={}, chains=(), editors=frozenset())
            case "patience":
                return replace(demand, since_s=-math.inf)
            case _:
                return demand


SOURCES = (  # "learnt" is pauses and order; "foresight" these, chains and editors
    "pauses",
    "order",
    "learnt",
    "foresight",
    "queue",
    "chains",
    "editors",
    "reload",
    "kept",
    "sensitivity",
    "brevity",
    "busy",
    "patience",
)


def _always(way: Eviction) -> Callable[[World], Eviction]:
    return lambda _world: way


WAYS: Mapping[str, Callable[[World], Eviction]] = {
    "lru": _always(LRU),
    "ours": _always(Cace()),
    "published": _always(PUBLISHED),
    "lfu": _always(LFU),
    "largest": _always(LARGEST),
    "keep-alive": _always(KEEP_ALIVE),
    "clairvoyant": Clairvoyant,
}
ABLATIONS: Mapping[str, Callable[[World], Eviction]] = {
    f"no {source}": _always(Blind(source)) for source in SOURCES
}
