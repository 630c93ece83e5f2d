"""A day too large for the machine: does everybody get an answer, and how long does the scheduler think?

    python -m tests.sim.scale [--requests 10000] [--profile]

64 editors type in bursts, people chat, an index is built, and four models share memory for two of them. The wall time
of each `Scheduler.handle` is measured by the driver; all else is virtual.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import pstats
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from engines.fake_knobs import Knobs, steady
from policies.limits import Limits
from policies.messages import Action, Arrived, Cancelled, End, Event, Outcome, Reason, Start
from policies.request import CLASS_OF, PROMISE_OF, Class, Kind, Place, Request
from policies.scheduler import Scheduler
from policies.view import ModelView
from tests.bench.figures import percentile
from tests.sim.simulator import Scene, Simulation

GIB = 2**30
MODELS = ("coder", "talker", "helper", "reader")
EDITORS = 64
KNOBS = Knobs(load_s=2.0, step_s=steady(tokens_per_s=200, prefill_tokens_per_s=10_000), sequences=8)
"""A small accelerator."""


class Timed(Scheduler):
    """Knows how long it thought about each event."""

    def __init__(self, models: tuple[ModelView, ...], limits: Limits) -> None:
        super().__init__(models, limits)
        self.took_us: defaultdict[str, list[float]] = defaultdict(list)
        self.profile: cProfile.Profile | None = None

    def handle(self, event: Event, *, now: float) -> list[Action]:
        if self.profile:
            self.profile.enable()
        began = time.perf_counter_ns()
        actions = super().handle(event, now=now)
        lasted_us = (time.perf_counter_ns() - began) / 1e3
        if self.profile:
            self.profile.disable()
        self.took_us[type(event).__name__].append(lasted_us)
        return actions


@dataclass
class Found:
    """What became of everybody. Waits are seconds from arrival to the first start, of those who were served."""

    ended: Counter[tuple[Class, Outcome]] = field(default_factory=Counter)
    ends: Counter[int] = field(default_factory=Counter)
    """How often each request ended."""
    longest_wait_s: dict[Class, float] = field(default_factory=dict)
    unserved: list[int] = field(default_factory=list)
    """Who was neither answered nor refused nor withdrawn."""


def crowd(requests: int, seed: int = 1) -> Scene:
    """So many requests of everybody together."""
    random = Random(seed)
    views = tuple(ModelView(n, frozenset(Kind), frozenset(), 2 * GIB, sequences=0) for n in MODELS)
    numbers = itertools.count(1)
    timed: list[tuple[float, Event]] = []
    lasts_s = requests / 25
    while len(timed) < requests:
        at_s = random.uniform(0, lasts_s)
        if random.random() < 0.3:
            timed += _burst(random, numbers, at_s)
        else:
            timed += _lone(random, numbers, at_s)
    timed.sort(key=lambda one: one[0])
    return Scene(views, Limits(memory_bytes=5 * GIB), tuple(timed), knobs=lambda _m, _n: KNOBS)


def _burst(random: Random, numbers: Iterator[int], at_s: float) -> Iterator[tuple[float, Event]]:
    """Somebody types: each key asks anew, and the last answer is read."""
    editor = f"editor{random.randrange(EDITORS)}"
    size, line = random.randint(400, 4_000), random.randrange(500)
    for _ in range(random.randint(3, 12)):
        place = Place(editor, line)
        request = _request(next(numbers), Kind.COMPLETE, MODELS[0], editor, size, 16, place)
        yield at_s, Arrived(request)
        if random.random() < 0.05:
            yield at_s + 0.05, Cancelled(request.id, Reason.CLIENT)
        size += 4
        at_s += random.uniform(0.08, 0.4)


def _lone(random: Random, numbers: Iterator[int], at_s: float) -> Iterator[tuple[float, Event]]:
    kinds = (Kind.CHAT, Kind.EXPLAIN, Kind.TRANSLATE, Kind.SUMMARISE, Kind.INDEX, Kind.INDEX)
    client = f"client{random.randrange(EDITORS)}"
    model = random.choice(MODELS if random.random() < 0.1 else MODELS[:2])
    tokens, size = random.randint(8, 48), random.randint(200, 3_000)
    yield at_s, Arrived(_request(next(numbers), random.choice(kinds), model, client, size, tokens))


def _request(
    number: int,
    kind: Kind,
    model: str,
    client: str,
    size: int,
    tokens: int,
    place: Place | None = None,
) -> Request:
    klass = CLASS_OF[kind]
    return Request(number, kind, klass, model, size, tokens, client, place, PROMISE_OF[klass])


def play(
    scene: Scene, *, check: bool = False, profile: cProfile.Profile | None = None
) -> tuple[Found, Timed]:
    """Play a scene under a scheduler that is timed, and look at everybody's end."""
    timed = Timed(scene.models, scene.limits)
    timed.profile = profile
    found, arrived = Found(), {}
    started: dict[int, float] = {}
    for entry in Simulation(scene, check=check, scheduler=timed).run():
        if isinstance(entry.event, Arrived):
            arrived[entry.event.request.id] = (entry.event.request, entry.now)
        for action in entry.actions:
            if isinstance(action, Start):
                started.setdefault(action.request_id, entry.now)
            elif isinstance(action, End):
                request, at_s = arrived[action.request_id]
                found.ends[request.id] += 1
                found.ended[request.klass, action.outcome] += 1
                if request.id in started:
                    wait_s = started[request.id] - at_s
                    longest = found.longest_wait_s.get(request.klass, 0.0)
                    found.longest_wait_s[request.klass] = max(longest, wait_s)
                if action.outcome is Outcome.FAILED:
                    found.unserved.append(request.id)
    found.unserved += [number for number in arrived if number not in found.ends]
    return found, timed


def report(found: Found, timed: Timed) -> str:
    """All figures, one a line."""
    lines = []
    for klass in Class:
        ends = {
            outcome: found.ended[klass, outcome]
            for outcome in Outcome
            if found.ended[klass, outcome]
        }
        if ends:
            told = ", ".join(f"{count} {outcome}" for outcome, count in ends.items())
            wait_s = found.longest_wait_s.get(klass, 0.0)
            lines.append(f"{klass.label:<12} {told}; longest wait for a sequence {wait_s:.2f} s")
    twice = sum(count != 1 for count in found.ends.values())
    lines.append(f"ended not exactly once: {twice}; unserved: {len(found.unserved)}")
    everything = [us for took in timed.took_us.values() for us in took]
    for name, took in [*sorted(timed.took_us.items()), ("all", everything)]:
        p50, p99 = (percentile(took, share) for share in (0.5, 0.99))
        lines.append(
            f"{name:<12} n={len(took):<7} p50 {p50:7.1f}  p99 {p99:7.1f}  max {max(took):8.1f} us"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--profile", action="store_true", help="where the scheduler's time goes")
    arguments = parser.parse_args()
    profile = cProfile.Profile() if arguments.profile else None
    print(report(*play(crowd(arguments.requests), profile=profile)))
    if profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
