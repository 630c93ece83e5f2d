"""The live requests: who waits, who runs, whose sequence is not yet free. It orders and counts; it decides nothing.

A change that the world must hear of gives back the actions that say so, so that the two cannot part.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from policies.baselines import class_order
from policies.messages import Action, End, Outcome, Reason, Stop
from policies.request import Class, Request


class Stage(Enum):
    """queued -> running -> (stopping ->) gone, or queued again."""

    QUEUED = auto()
    RUNNING = auto()
    STOPPING = auto()


@dataclass(slots=True, eq=False)
class Entry:
    """One live request."""

    request: Request
    arrived_s: float
    stage: Stage = Stage.QUEUED
    ended: bool = False
    """Its caller was answered; its sequence is not free yet."""
    alone: bool = False
    """A worker died while it was inside: it shares steps with nobody any more."""
    setbacks: int = 0
    """How often it lost its sequence through no wish of ours."""

    @property
    def order(self) -> tuple[Class, int]:
        """Its place in every queue."""
        return class_order(self.request)

    @property
    def expires_at(self) -> float | None:
        """When the answer is worth nothing to its client any more."""
        limit = self.request.expires_s
        return None if limit is None else self.arrived_s + limit


class Book:
    """Every live request, by number, by model, and in order."""

    def __init__(self, models: Sequence[str]) -> None:
        self._entries: dict[int, Entry] = {}
        self._queues: dict[str, list[Entry]] = {name: [] for name in models}
        self._crews: dict[str, dict[int, Entry]] = {name: {} for name in models}
        self._expiring: dict[int, Entry] = {}

    def find(self, request_id: int) -> Entry | None:
        """The live request of that number."""
        return self._entries.get(request_id)

    def queue(self, model: str) -> Sequence[Entry]:
        """Who waits for a model, in order."""
        return self._queues[model]

    def crew(self, model: str) -> Sequence[Entry]:
        """Who holds a sequence of a model, in the order they took it."""
        return tuple(self._crews[model].values())

    def is_busy(self, model: str) -> bool:
        """Whether anybody holds a sequence of the model."""
        return bool(self._crews[model])

    def live(self) -> Iterator[Entry]:
        """All whose end has not come, by arrival."""
        return (entry for entry in self._entries.values() if not entry.ended)

    def queued(self) -> Iterator[Entry]:
        """All who wait, by arrival."""
        return (entry for entry in self._entries.values() if entry.stage is Stage.QUEUED)

    def expired(self, now: float) -> list[Entry]:
        """All whose clients' own limits have passed, by arrival."""
        return [
            entry
            for entry in self._expiring.values()
            if entry.expires_at is not None and entry.expires_at <= now
        ]

    def next_expiry(self) -> float | None:
        """When the next of those limits passes."""
        times = (entry.expires_at for entry in self._expiring.values())
        return min((time for time in times if time is not None), default=None)

    def count(self, *stages: Stage) -> dict[Class, int]:
        """How many unended requests are in one of these stages, by class."""
        counts = dict.fromkeys(Class, 0)
        for entry in self.live():
            if entry.stage in stages:
                counts[entry.request.klass] += 1
        return counts

    def add(self, entry: Entry) -> None:
        """A new request waits."""
        self._entries[entry.request.id] = entry
        if entry.request.expires_s is not None:
            self._expiring[entry.request.id] = entry
        self._enqueue(entry)

    def start(self, entry: Entry) -> None:
        """It leaves the queue and takes a sequence."""
        self._queues[entry.request.model].remove(entry)
        self._crews[entry.request.model][entry.request.id] = entry
        entry.stage = Stage.RUNNING

    def stop(self, entry: Entry) -> list[Action]:
        """It is asked to give its sequence back, and waits again when it has."""
        entry.stage = Stage.STOPPING
        return [Stop(entry.request.id, entry.request.model)]

    def end(self, entry: Entry, outcome: Outcome, reason: Reason) -> list[Action]:
        """Its end has come: it is forgotten now, or as soon as its sequence is free."""
        actions = self.stop(entry) if entry.stage is Stage.RUNNING else []
        entry.ended = True
        self._expiring.pop(entry.request.id, None)
        if entry.stage is Stage.QUEUED:
            self._queues[entry.request.model].remove(entry)
            del self._entries[entry.request.id]
        return [*actions, End(entry.request.id, outcome, reason)]

    def end_all(self, entries: Iterable[Entry], outcome: Outcome, reason: Reason) -> list[Action]:
        """The end of them all has come."""
        return [act for entry in tuple(entries) for act in self.end(entry, outcome, reason)]

    def release(self, entry: Entry) -> None:
        """Its sequence is free: it waits again, or is forgotten if its end has come."""
        del self._crews[entry.request.model][entry.request.id]
        if entry.ended:
            del self._entries[entry.request.id]
        else:
            self._enqueue(entry)

    def _enqueue(self, entry: Entry) -> None:
        entry.stage = Stage.QUEUED
        insort(self._queues[entry.request.model], entry, key=lambda entry: entry.order)
