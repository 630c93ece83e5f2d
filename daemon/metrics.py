"""Latencies and counts: of the live daemon as requests end, or of any journal, whoever wrote it."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from daemon.journal import Entry
from daemon.snapshot import LatencySnapshot
from policies.messages import Action, Arrived, End, EngineDied, Load, Outcome, Stepped, Stop, Unload
from policies.request import Class, Request

KEPT_MAX = 1_000
"""Finished requests of each class that percentiles are taken over."""


class Latencies:
    """Times of the last finished requests of each class."""

    def __init__(self) -> None:
        self._ttft_s: dict[Class, deque[float]] = {}
        self._e2e_s: dict[Class, deque[float]] = {}

    def note(self, klass: Class, *, ttft_s: float | None, e2e_s: float) -> None:
        """One request is done; it may have written nothing."""
        if ttft_s is not None:
            self._ttft_s.setdefault(klass, deque(maxlen=KEPT_MAX)).append(ttft_s)
        self._e2e_s.setdefault(klass, deque(maxlen=KEPT_MAX)).append(e2e_s)

    def snapshot(self) -> dict[Class, LatencySnapshot]:
        """Medians and 95th percentiles, for the classes that have any."""
        return {klass: self._of(klass) for klass in sorted(self._e2e_s)}

    def _of(self, klass: Class) -> LatencySnapshot:
        ttft_s = sorted(self._ttft_s.get(klass, ()))
        e2e_s = sorted(self._e2e_s[klass])
        return LatencySnapshot(
            count=len(e2e_s),
            ttft_p50_ms=_percentile_ms(ttft_s, 0.5),
            ttft_p95_ms=_percentile_ms(ttft_s, 0.95),
            e2e_p50_ms=_percentile_ms(e2e_s, 0.5),
            e2e_p95_ms=_percentile_ms(e2e_s, 0.95),
        )


@dataclass(slots=True)
class Summary:
    """What a journal says."""

    latencies: Latencies = field(default_factory=Latencies)
    ended: Counter[str] = field(default_factory=Counter)
    """By outcome."""
    loads: int = 0
    unloads: int = 0
    deaths: int = 0
    made_way: int = 0
    """Running requests that were stopped and did not end by it."""


def summarise(entries: Iterable[Entry]) -> Summary:
    """Read a journal from its beginning; requests that arrived before it are counted but not timed."""
    summary = Summary()
    arrived: dict[int, tuple[Request, float]] = {}
    first_s: dict[int, float] = {}
    for entry in entries:
        match entry.event:
            case Arrived(request):
                arrived[request.id] = (request, entry.now)
            case Stepped(emitted=emitted):
                for request_id, _ in emitted:
                    first_s.setdefault(request_id, entry.now)
            case EngineDied():
                summary.deaths += 1
            case _:
                pass
        _count(summary, entry.actions)
        for action in entry.actions:
            if isinstance(action, End):
                known = arrived.pop(action.request_id, None)
                first = first_s.pop(action.request_id, None)
                if known and action.outcome is Outcome.DONE:
                    request, at_s = known
                    ttft_s = None if first is None else first - at_s
                    summary.latencies.note(request.klass, ttft_s=ttft_s, e2e_s=entry.now - at_s)
    return summary


def _count(summary: Summary, actions: Sequence[Action]) -> None:
    ended = [action.request_id for action in actions if isinstance(action, End)]
    for action in actions:
        match action:
            case End(outcome=outcome):
                summary.ended[outcome] += 1
            case Stop(request_id=request_id):
                summary.made_way += request_id not in ended
            case Load():
                summary.loads += 1
            case Unload():
                summary.unloads += 1
            case _:
                pass


def _percentile_ms(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that this share of them does not exceed."""
    if not ordered:
        return None
    return ordered[math.ceil(share * len(ordered)) - 1] * 1e3
