"""The live requests: who waits, who runs, whose sequence is not yet free. It orders and counts; it decides nothing.

A change that the world must hear of gives back the actions that say so, so that the two cannot part. What is asked
at every event (how many wait, who is beside a newcomer, who expires next) is kept up to date, not looked for.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import takewhile
from operator import attrgetter

from policies.messages import Action, End, Outcome, Park, Reason, Stop
from policies.regimes import Order
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
    order: Order
    """Its place in every queue."""
    stage: Stage = Stage.QUEUED
    ended: bool = False
    """Its caller was answered; its sequence is not free yet."""
    alone: bool = False
    """A worker died while it was inside: it shares steps with nobody any more."""
    setbacks: int = 0
    """How often it lost its sequence through no wish of ours."""
    queued_s: float = 0.0
    """When it last began to wait; a run that gave it neither a token nor a turn is no end of a wait."""
    turn_until_s: float = -math.inf
    """Till when it makes way for nobody: it had waited too long."""
    prompt_tokens: int | None = None
    """Tokens of its prompt that were not in the cache when it last started; None until its worker has said so."""
    produced: int = 0
    """Tokens of its answer so far."""
    told: int = 0
    """The same when it last started."""

    @property
    def expires_at(self) -> float | None:
        """When the answer is worth nothing to its client any more."""
        limit = self.request.expires_s
        return None if limit is None else self.arrived_s + limit


class Book:
    """Every live request, by number, by model, and in order."""

    def __init__(self, models: Sequence[str]) -> None:
        self._entries: dict[int, Entry] = {}
        self._queues: dict[str, dict[Class, list[Entry]]] = {
            name: {klass: [] for klass in Class} for name in models
        }
        """Who waits, by model and class, each in order."""
        self._crews: dict[str, dict[int, Entry]] = {name: {} for name in models}
        self._changes: Counter[str] = Counter()
        self._expiring: list[tuple[float, int]] = []
        """When those who set a limit expire, and their numbers, in this order."""
        self._placed: dict[tuple[str, str], dict[int, Entry]] = {}
        """Unended requests at a place, by client and document."""
        self._counts: Counter[tuple[Stage, Class]] = Counter()
        """Unended requests."""

    def find(self, request_id: int) -> Entry | None:
        """The live request of that number."""
        return self._entries.get(request_id)

    def queue(self, model: str) -> list[Entry]:
        """Who waits for a model, in order."""
        return sorted((entry for queue in self.queues(model) for entry in queue), key=_place)

    def queues(self, model: str) -> Iterable[Sequence[Entry]]:
        """Who waits for a model, by class, each class in order."""
        return self._queues[model].values()

    def head(self, model: str) -> Entry | None:
        """Who of those that wait for a model is first."""
        return min((queue[0] for queue in self.queues(model) if queue), key=_place, default=None)

    def changes(self, model: str) -> int:
        """How often it has changed who waits for a model or holds a sequence of it."""
        return self._changes[model]

    def crew(self, model: str) -> Sequence[Entry]:
        """Who holds a sequence of a model, in the order they took it."""
        return tuple(self._crews[model].values())

    def is_busy(self, model: str) -> bool:
        """Whether anybody holds a sequence of the model."""
        return bool(self._crews[model])

    def live(self) -> Iterator[Entry]:
        """All whose end has not come, by arrival."""
        return (entry for entry in self._entries.values() if not entry.ended)

    def beside(self, request: Request) -> list[Request]:
        """Return all that its client asked for the same document and whose end has not come, by arrival."""
        return [entry.request for entry in self._placed.get(_sheet(request), {}).values()]

    def queued(self) -> Iterator[Entry]:
        """All who wait, by arrival."""
        return (entry for entry in self._entries.values() if entry.stage is Stage.QUEUED)

    def expired(self, now: float) -> list[Entry]:
        """All whose clients' own limits have passed, the earliest limit first."""
        passed = takewhile(lambda limit: limit[0] <= now, self._expiring)
        return [self._entries[number] for _, number in passed]

    def next_expiry(self) -> float | None:
        """When the next of those limits passes."""
        return self._expiring[0][0] if self._expiring else None

    def count(self, *stages: Stage) -> dict[Class, int]:
        """How many unended requests are in one of these stages, by class."""
        return {klass: sum(self._counts[stage, klass] for stage in stages) for klass in Class}

    def add(self, entry: Entry) -> None:
        """A new request waits."""
        request = entry.request
        self._entries[request.id] = entry
        self._counts[entry.stage, request.klass] += 1
        if entry.expires_at is not None:
            insort(self._expiring, (entry.expires_at, request.id))
        if request.place:
            self._placed.setdefault(_sheet(request), {})[request.id] = entry
        entry.queued_s = entry.arrived_s
        self._enqueue(entry)

    def start(self, entry: Entry) -> None:
        """It leaves the queue and takes a sequence."""
        self._dequeue(entry)
        entry.told = entry.produced
        self._crews[entry.request.model][entry.request.id] = entry
        self._turn(entry, Stage.RUNNING)

    def stop(self, entry: Entry) -> list[Action]:
        """It is asked to give its sequence back, and waits again when it has."""
        self._turn(entry, Stage.STOPPING)
        return [Stop(entry.request.id, entry.request.model)]

    def park(self, entry: Entry) -> list[Action]:
        """It is asked to make way for a while, and waits again when it has."""
        self._turn(entry, Stage.STOPPING)
        return [Park(entry.request.id, entry.request.model)]

    def end(self, entry: Entry, outcome: Outcome, reason: Reason) -> list[Action]:
        """Its end has come: it is forgotten now, or as soon as its sequence is free."""
        actions = self.stop(entry) if entry.stage is Stage.RUNNING else []
        self._strike(entry)
        if entry.stage is Stage.QUEUED:
            self._dequeue(entry)
            del self._entries[entry.request.id]
        return [*actions, End(entry.request.id, outcome, reason)]

    def end_all(self, entries: Iterable[Entry], outcome: Outcome, reason: Reason) -> list[Action]:
        """The end of them all has come."""
        return [act for entry in tuple(entries) for act in self.end(entry, outcome, reason)]

    def release(self, entry: Entry, now: float) -> None:
        """Its sequence is free: it waits again, or is forgotten if its end has come."""
        del self._crews[entry.request.model][entry.request.id]
        self._changes[entry.request.model] += 1
        if entry.ended:
            del self._entries[entry.request.id]
        else:
            self._turn(entry, Stage.QUEUED)
            if entry.produced > entry.told or entry.turn_until_s > entry.queued_s:
                entry.queued_s = now
            self._enqueue(entry)

    def _enqueue(self, entry: Entry) -> None:
        insort(self._queues[entry.request.model][entry.request.klass], entry, key=_place)
        self._changes[entry.request.model] += 1

    def _dequeue(self, entry: Entry) -> None:
        queue = self._queues[entry.request.model][entry.request.klass]
        del queue[bisect_left(queue, entry.order, key=_place)]
        self._changes[entry.request.model] += 1

    def _turn(self, entry: Entry, stage: Stage) -> None:
        """One whose end has not come enters another stage."""
        klass = entry.request.klass
        self._counts[entry.stage, klass] -= 1
        self._counts[stage, klass] += 1
        self._changes[entry.request.model] += 1
        entry.stage = stage

    def _strike(self, entry: Entry) -> None:
        """It counts no longer, expires no more, and is beside nobody."""
        request, entry.ended = entry.request, True
        self._counts[entry.stage, request.klass] -= 1
        if entry.expires_at is not None:
            del self._expiring[bisect_left(self._expiring, (entry.expires_at, request.id))]
        if request.place:
            sheet = _sheet(request)
            del self._placed[sheet][request.id]
            if not self._placed[sheet]:
                del self._placed[sheet]


_place = attrgetter("order")


def _sheet(request: Request) -> tuple[str, str]:
    """Who asked, and for which document."""
    return request.client, request.place.document if request.place else ""
