"""A machine that only loads, serves and unloads models: events of residency in virtual time, and nothing else.

It keeps the rules of the product, whoever chooses the victims: memory goes to those who wait in their order (class,
then arrival), one model is loaded at a time, nobody overtakes the first. What runs on a victim and is less urgent
than who waits is parked; what is not is waited for, and its model takes nothing new as urgent as that after
`drain_s`. Work that nobody waits for displaces only what has been idle for `settle_s`. A model serves any number of
requests at once, each as fast as one alone.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from policies.eviction import Choice, Demand, Eviction, Resident, ScoreSheet
from policies.foresight import Foresight
from policies.limits import Limits
from policies.reloads import Reloads
from policies.request import Class
from tests.sim.residency_day import Trace, Use
from tests.sim.residency_models import LEAVE_S, File

CACHED_PROMPT = 100
"""Tokens of a prompt that are new to a model that has served this client since it was loaded."""
PARKED_S = 0.05
LIMITS = Limits()


@dataclass
class Found:
    """What a day came to."""

    evictions: int = 0
    loads: int = 0
    loading_s: float = 0.0
    parked: int = 0
    first_token_s: dict[Class, list[float]] = field(default_factory=dict)
    sheets: list[ScoreSheet] = field(default_factory=list)


@dataclass(eq=False)
class Job:
    """One use under way."""

    index: int
    use: Use
    arrived_s: float
    left_s: float | None = None
    """What a parked one still needs."""
    ends_s: float = math.inf
    epoch: int = 0

    @property
    def order(self) -> tuple[Class, float, int]:
        return (self.use.klass, self.arrived_s, self.index)


@dataclass(eq=False)
class Model:
    """One model's state."""

    file: File
    phase: str = "absent"
    used_s: float = -math.inf
    loaded_s: float = -math.inf
    served: int = 0
    queue: list[Job] = field(default_factory=list)
    running: list[Job] = field(default_factory=list)
    clients: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def holds(self) -> bool:
        return self.phase != "absent"

    @property
    def busy(self) -> Class | None:
        return min((job.use.klass for job in self.running), default=None)


class PageCache:
    """Which files the host still has in memory: the least recently read are forgotten."""

    def __init__(self, host_bytes: int) -> None:
        self._host_bytes = host_bytes
        self._files: OrderedDict[str, int] = OrderedDict()

    def has(self, file: File) -> bool:
        return file.name in self._files

    def read(self, file: File) -> None:
        self._files[file.name] = file.file_bytes
        self._files.move_to_end(file.name)
        while sum(self._files.values()) > self._host_bytes:
            self._files.popitem(last=False)


class World:
    """One trace, played once. `keep_s`: idle models are unloaded after that."""

    def __init__(
        self, trace: Trace, find: Callable[[World], Eviction], *, keep_s: float | None = None
    ) -> None:
        self.trace = trace
        self.came: set[int] = set()
        """The uses that have arrived."""
        self.found = Found()
        self.now = 0.0
        self.models = {file.name: Model(file) for file in trace.files}
        self.foresight = Foresight()
        self._eviction = find(self)
        self._keep_s = keep_s
        self._pages = PageCache(trace.host_bytes)
        self._reloads = Reloads(trace.host_bytes)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._looks: set[float] = set()
        self._editors: frozenset[str] = frozenset()
        self._chains: dict[str, tuple[str, ...]] = {}
        self._followers: dict[int, list[int]] = {}
        self._wanted: tuple[str, float] | None = None
        self._asked: dict[str, Class] = {}

    # --- time -------------------------------------------------------------------------------------------

    def run(self) -> Found:
        for index, use in enumerate(self.trace.uses):
            if use.after is None:
                self._at(use.at_s, lambda index=index: self._arrive(index))
            else:
                self._followers.setdefault(use.after, []).append(index)
        for at_s, models in self.trace.opened:
            self._at(at_s, lambda models=models: self._open(models))
        while self._heap:
            self.now, _, act = heapq.heappop(self._heap)
            act()
        return self.found

    def _at(self, at_s: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at_s, self._count, act))

    def _again(self, at_s: float) -> None:
        """Look again then; one look a moment."""
        if at_s not in self._looks:
            self._looks.add(at_s)
            self._at(at_s, lambda: self._look(at_s))

    def _look(self, at_s: float) -> None:
        self._looks.discard(at_s)
        self._settle()

    def _open(self, models: frozenset[str]) -> None:
        self._editors = models

    # --- requests ---------------------------------------------------------------------------------------

    def _arrive(self, index: int) -> None:
        use = self.trace.uses[index]
        self.came.add(index)
        self.foresight.used(use.model, use.klass, self.now)
        self._chains[use.client] = use.ahead
        model = self.models[use.model]
        model.queue.append(Job(index, use, self.now))
        model.queue.sort(key=lambda job: job.order)
        self._settle()

    def _start(self, model: Model, job: Job) -> None:
        use, file = job.use, model.file
        model.used_s = self.now
        if job.left_s is None:
            tokens = CACHED_PROMPT if use.client in model.clients else use.prompt
            first_s = file.prefill_s(tokens)
            model.clients[use.client] = file.prefill_s(use.prompt)
            waited_s = self.now - job.arrived_s + first_s
            self.found.first_token_s.setdefault(use.klass, []).append(waited_s)
            job.left_s = first_s + file.decode_s(use.tokens)
        job.ends_s = self.now + job.left_s
        job.epoch += 1
        model.running.append(job)
        self._at(job.ends_s, lambda epoch=job.epoch: self._end(model, job, epoch))

    def _end(self, model: Model, job: Job, epoch: int) -> None:
        if job.epoch != epoch or job not in model.running:
            return
        model.running.remove(job)
        model.used_s = self.now
        model.served += 1
        self.foresight.of(model.name).answered(job.use.tokens)
        for index in self._followers.get(job.index, ()):
            use = self.trace.uses[index]
            self._at(max(use.at_s, self.now + use.think_s), lambda index=index: self._arrive(index))
        if self._keep_s is not None:
            self._at(self.now + self._keep_s, lambda: self._expire(model))
        self._settle()

    def _expire(self, model: Model) -> None:
        idle = model.phase == "ready" and not model.running
        if idle and self._keep_s is not None and model.used_s + self._keep_s <= self.now:
            self._unload(model)

    # --- memory -----------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Start what may start, see to memory, and start what nobody holds back any more."""
        self._fill()
        self._place()
        self._fill()

    def _fill(self) -> None:
        for model in self.models.values():
            if model.phase == "ready":
                for job in [job for job in model.queue if not self._closed(model, job)]:
                    model.queue.remove(job)
                    self._start(model, job)

    def _closed(self, model: Model, job: Job) -> bool:
        by = self._asked.get(model.name)
        if by is None or self._wanted is None:
            return False
        wanted_s = self.now - self._wanted[1]
        return job.use.klass > by or (job.use.klass == by and wanted_s >= LIMITS.drain_for(by))

    def _place(self) -> None:
        waiting = [m for m in self.models.values() if m.phase == "absent" and m.queue]
        if not waiting:
            self._wanted, self._asked = None, {}
            return
        if any(model.phase == "loading" for model in self.models.values()):
            return
        first = min(waiting, key=lambda model: model.queue[0].order)
        if self._wanted is None or self._wanted[0] != first.name:
            self._wanted, self._asked = (first.name, self.now), {}
        held = sum(m.file.need_bytes for m in self.models.values() if m.holds)
        missing = held + first.file.need_bytes - self.trace.memory_bytes
        if missing <= 0:
            self._load(first)
            return
        missing -= sum(m.file.need_bytes for m in self.models.values() if m.phase == "leaving")
        if missing > 0:
            self._reclaim(first, missing)

    def _reclaim(self, first: Model, missing: int) -> None:
        by = first.queue[0].use.klass
        if not self._asked:
            choice = self._ask(first, missing)
            if choice is None:
                self._again(self.now + 1.0)
                return
            if choice.from_s > self.now:
                self._again(choice.from_s)
                return
            self.found.sheets.append(choice.sheet)
            self._asked = dict.fromkeys(choice.victims, by)
        for name in self._asked:
            self._let_go(self.models[name], by)

    def _let_go(self, model: Model, by: Class) -> None:
        if model.phase != "ready":
            return
        settled_s = model.used_s + LIMITS.settle_for(by)
        if settled_s > self.now:
            self._again(settled_s)
            return
        if all(job.use.klass > by for job in model.running):
            for job in model.running:
                job.left_s = job.ends_s - self.now + PARKED_S
                self.found.parked += 1
            model.queue = sorted(model.queue + model.running, key=lambda job: job.order)
            model.running = []
            self._unload(model)

    def _load(self, model: Model) -> None:
        model.phase = "loading"
        lasts_s = model.file.warm_s if self._pages.has(model.file) else model.file.cold_s
        self._pages.read(model.file)
        self.found.loads += 1
        self.found.loading_s += lasts_s
        self._wanted, self._asked = None, {}
        self._at(self.now + lasts_s, lambda: self._ready(model, lasts_s))

    def _ready(self, model: Model, lasted_s: float) -> None:
        self._reloads.loaded(model.name, file_bytes=model.file.file_bytes, load_s=lasted_s)
        model.phase = "ready"
        model.served = 0
        model.clients = {}
        model.loaded_s = model.used_s = self.now
        self._settle()

    def _unload(self, model: Model) -> None:
        model.phase = "leaving"
        self.found.evictions += 1
        self._at(self.now + LEAVE_S, lambda: self._gone(model))

    def _gone(self, model: Model) -> None:
        model.phase = "absent"
        self._settle()

    # --- the question -----------------------------------------------------------------------------------

    def _ask(self, first: Model, missing: int) -> Choice | None:
        residents = [self._resident(m) for m in self.models.values() if m.phase == "ready"]
        return self._eviction.choose(residents, missing, self._demand(first), self.now)

    def _resident(self, model: Model) -> Resident:
        habits = self.foresight.of(model.name)
        return Resident(
            name=model.name,
            need_bytes=model.file.need_bytes,
            used_s=model.used_s,
            loaded_s=model.loaded_s,
            served=model.served,
            reload_s=self._reloads.expected_s(model.name),
            busy=model.busy,
            uses=habits.uses(self.now),
            classes=habits.classes(),
            tokens=habits.tokens.mean,
            kept_s=sum(model.clients.values()),
        )

    def _demand(self, first: Model) -> Demand:
        jobs = [job for model in self.models.values() for job in model.queue]
        queued = tuple(job.use.model for job in sorted(jobs, key=lambda job: job.order))
        heads = sorted(
            (place, name) for ahead in self._chains.values() for place, name in enumerate(ahead)
        )
        chains = tuple(name for _, name in heads)
        return Demand(
            model=first.name,
            by=first.queue[0].use.klass,
            since_s=first.queue[0].arrived_s,
            queued=queued,
            chains=chains,
            editors=self._editors,
            habit={name: self.foresight.of(name).soon(self.now) for name in self.models},
            order=self.foresight.order.soon(first.name),
        )
