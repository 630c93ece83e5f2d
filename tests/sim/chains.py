"""Chains under load: how many keep their end-to-end promise, with slack that passes on, without, and unaware of them.

Chains of three calls (summarise, translate, fix) come at random among single requests and chats; each call comes when
the one before has ended and its client has thought for a moment. Three ways to promise the same calls, on the very
same arrivals and lengths:

    unaware    each call has the promise of its class
    fixed      each call has a fixed share of the chain's time, in proportion to what calls take in the mean
    passing    as the product does it: what is left is shared anew at each call (`policies/runs.py`)

The load is work by time: what each request takes of the measured machine when it has that to itself. What was tuned was
tuned on seeds 0 to 9.

    python -m tests.sim.chains [--seeds 10 30] [--loads 0.5 0.6 0.7 0.8 0.9]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from math import exp, inf, log, sqrt
from random import Random
from statistics import mean, stdev

from daemon.journal import Journal
from engines.fake_knobs import Knobs
from policies.chain import Call, Chain
from policies.limits import Limits
from policies.link import Link
from policies.messages import Action, Arrived, End, Event, Outcome, Stepped
from policies.request import CLASS_OF, PROMISE_OF, Class, Kind, Promise, Request
from policies.runs import Runs
from policies.scheduler import Scheduler
from policies.view import ModelView
from tests.sim.machines import TWO_CORES
from tests.sim.simulator import BYTES_A_TOKEN, Scene, Simulation

MACHINE = TWO_CORES
KNOBS = Knobs(step_s=MACHINE.step_s, abort_s=MACHINE.abort_ms / 1e3, sequences=4)
HORIZON_S = 300.0
WARM_UP_S = 60.0
"""Chains that begin before are not counted: times are learnt meanwhile."""
PAUSE_S = 0.3
"""Mean time a client takes between two calls."""
SPREAD = 0.6
"""Deviation of the logarithm of an answer's length."""
WITHIN_S = 20.0
ALONE = 6
"""Requests of which the mean work is taken."""
MODEL = ModelView("coder", frozenset(Kind), frozenset(), need_bytes=1, sequences=0)
LIMITS = Limits(memory_bytes=1)


@dataclass(frozen=True)
class Work:
    """One sort of request: prompt tokens, and the median length of its answers."""

    kind: Kind
    prompt: int
    tokens: int

    @property
    def mean_s(self) -> float:
        """Seconds it takes in the mean, with the machine to itself."""
        return alone_s(self.prompt, round(self.tokens * exp(SPREAD**2 / 2)))


@cache
def alone_s(prompt: int, tokens: int) -> float:
    """Seconds the simulated machine takes for a request alone: the mean of some, far apart."""
    times_s = [100.0 * n for n in range(ALONE)]
    arrivals = tuple(
        (at_s, Arrived(request_of(n, Kind.CHAT, prompt))) for n, at_s in enumerate(times_s)
    )
    answers = dict.fromkeys(range(ALONE), tokens)
    scene = Scene((MODEL,), LIMITS, arrivals, knobs=lambda _m, _n: KNOBS, answers=answers)
    journal = Simulation(scene, check=False).run()
    ends_s = [
        entry.now for entry in journal if any(isinstance(action, End) for action in entry.actions)
    ]
    return mean(end_s - at_s for at_s, end_s in zip(times_s, ends_s, strict=True))


def request_of(number: int, kind: Kind, prompt: int, link: Link | None = None) -> Request:
    """A request whose prompt shares nothing with any other's."""
    return Request(
        id=number,
        kind=kind,
        klass=CLASS_OF[kind],
        model=MODEL.name,
        prompt_bytes=prompt * BYTES_A_TOKEN,
        tokens_max=4_096,
        client=f"c{number}-",
        promise=PROMISE_OF[CLASS_OF[kind]],
        link=link,
    )


CALLS = (Work(Kind.SUMMARISE, 240, 40), Work(Kind.TRANSLATE, 120, 70), Work(Kind.FIX, 120, 40))
SINGLE = Work(Kind.TRANSLATE, 120, 60)
CHAT = Work(Kind.CHAT, 120, 60)
CHAIN_S = sum(work.mean_s for work in CALLS)
CHAIN = Chain("port", tuple(Call(work.kind) for work in CALLS), within_s=WITHIN_S)
MIX = ((CALLS, 0.25, CHAIN_S), ((SINGLE,), 0.5, SINGLE.mean_s), ((CHAT,), 0.25, CHAT.mean_s))
"""What comes, its part of all work, and the work of one."""


class Way(StrEnum):
    """How the calls of chains are promised."""

    UNAWARE = "unaware"
    FIXED = "fixed"
    PASSING = "passing"


@dataclass
class Task:
    """A chain's run, or a single request."""

    number: int
    begin_s: float
    works: tuple[Work, ...]
    lengths: list[int]
    pauses_s: list[float]
    first_s: float = 0.0
    """When the last call's first token came."""
    ended_s: float = 0.0

    @property
    def first_token_s(self) -> float:
        return self.first_s - self.begin_s

    @property
    def whole_s(self) -> float:
        return self.ended_s - self.begin_s


def tasks_of(seed: int, load: float) -> list[Task]:
    """What comes at so much of the capacity: the same for every way to promise."""
    random = Random(f"{seed} {load}")
    tasks: list[Task] = []
    for works, part, each_s in MIX:
        at_s = 0.0
        while (at_s := at_s + random.expovariate(load * part / each_s)) < HORIZON_S:
            lengths = [max(1, round(random.lognormvariate(log(w.tokens), SPREAD))) for w in works]
            pauses_s = [random.expovariate(1 / PAUSE_S) for _ in works]
            tasks.append(Task(len(tasks), at_s, works, lengths, pauses_s))
    return tasks


class FixedShares(Runs):
    """The way that is compared with: each call has its share of the whole time, whatever happened before it."""

    def arrived(self, request_id: int, link: Link | None, own: Promise, *, now: float) -> Promise:
        if link is None:
            return own
        return Promise(whole_s=WITHIN_S * CALLS[link.call].mean_s / CHAIN_S)


class ChainSimulation(Simulation):
    """Lets the next call of a task come when the last has ended."""

    def __init__(self, tasks: list[Task], way: Way) -> None:
        super().__init__(
            Scene((MODEL,), LIMITS, (), knobs=lambda _m, _n: KNOBS, answers={}),
            check=False,
        )
        self.scheduler = Scheduler(self.scene.models, self.scene.limits, chains=[CHAIN])
        if way is Way.FIXED:
            self.scheduler._runs = FixedShares([CHAIN], idle_max=256, idle_s_max=60.0)
        self._way = way
        self.journal = Listening(self._noted)
        self._first_s: dict[int, float] = {}
        self._calls: dict[int, tuple[Task, int]] = {}
        for task in tasks:
            self.timers.call_later(task.begin_s, lambda task=task: self._call(task, 0))

    def _call(self, task: Task, n: int) -> None:
        number = len(self._calls) + 1
        self._calls[number] = (task, n)
        self.scene.answers[number] = task.lengths[n]
        self._handle(Arrived(self._request(number, task, n)))

    def _request(self, number: int, task: Task, n: int) -> Request:
        work = task.works[n]
        chained = task.works == CALLS and self._way is not Way.UNAWARE
        link = Link(CHAIN.name, n, str(task.number)) if chained else None
        return request_of(number, work.kind, work.prompt, link)

    def _noted(self, now: float, event: Event, actions: Sequence[Action]) -> None:
        if isinstance(event, Stepped):
            for number, _ in event.emitted:
                self._first_s.setdefault(number, now)
        for action in actions:
            if isinstance(action, End):
                assert action.outcome is Outcome.DONE
                self._ended(action.request_id, now)

    def _ended(self, number: int, now: float) -> None:
        task, n = self._calls[number]
        if n + 1 == len(task.works):
            task.first_s, task.ended_s = self._first_s[number], now
        else:
            self.timers.call_later(task.pauses_s[n], lambda: self._call(task, n + 1))


class Listening(Journal):
    """Tells what it is given, and keeps none of it."""

    def __init__(self, tell: Callable[[float, Event, Sequence[Action]], None]) -> None:
        super().__init__(entries_max=0)
        self._tell = tell

    def append(self, now: float, event: Event, actions: Sequence[Action]) -> None:
        self._tell(now, event, actions)


@dataclass(frozen=True)
class Kept:
    """Shares of the tasks of each sort that kept their promise."""

    chains: float
    singles: float
    chats: float
    chain_p95_s: float


def play(seed: int, load: float, way: Way) -> Kept:
    """One simulation."""
    tasks = tasks_of(seed, load)
    ChainSimulation(tasks, way).run()
    counted = [task for task in tasks if task.begin_s >= WARM_UP_S]
    chains = [task.whole_s for task in counted if task.works == CALLS]
    singles = [task.whole_s for task in counted if task.works == (SINGLE,)]
    chats = [task.first_token_s for task in counted if task.works == (CHAT,)]
    return Kept(
        share_within(chains, WITHIN_S),
        share_within(singles, PROMISE_OF[Class.DEFERRED].whole_s),
        share_within(chats, PROMISE_OF[Class.FOREGROUND].first_token_s),
        sorted(chains)[int(0.95 * len(chains))],
    )


def share_within(times_s: list[float], limit_s: float) -> float:
    return mean(time_s <= limit_s for time_s in times_s)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half the width of its 95 % interval, by Student's t over seeds."""
    if len(values) < 2:
        return values[0], inf
    t = 1.96 + 2.4 / (len(values) - 1)  # within 0.02 of the table from 5 values on
    return mean(values), t * stdev(values) / sqrt(len(values))


def told(values: Sequence[float], unit: float = 100.0) -> str:
    middle, half = interval(values)
    return f"{middle * unit:5.1f} +-{half * unit:4.1f}"


def report(load: float, seeds: range) -> Iterator[str]:
    """A table of one load, and what passing gains over each of the others, seed by seed."""
    kept = {way: [play(seed, load, way) for seed in seeds] for way in Way}
    yield f"load {load}: {'chains kept, %':>18} {'singles, %':>14} {'chats, %':>14} {'chain p95, s':>14}"
    for way, runs in kept.items():
        yield (
            f"  {way:10} {told([k.chains for k in runs]):>18} {told([k.singles for k in runs]):>14}"
            f" {told([k.chats for k in runs]):>14} {told([k.chain_p95_s for k in runs], 1.0):>14}"
        )
    for way in (Way.UNAWARE, Way.FIXED):
        gains = [a.chains - b.chains for a, b in zip(kept[Way.PASSING], kept[way], strict=True)]
        yield f"  passing gains over {way}: {told(gains)} points"


def main() -> None:
    parser = argparse.ArgumentParser(description="chains under load, simulated")
    parser.add_argument(
        "--seeds", type=int, nargs=2, default=[10, 30], help="the first, and the end"
    )
    parser.add_argument("--loads", type=float, nargs="+", default=[0.5, 0.6, 0.7, 0.8, 0.9])
    given = parser.parse_args()
    for load in given.loads:
        for line in report(load, range(*given.seeds)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
