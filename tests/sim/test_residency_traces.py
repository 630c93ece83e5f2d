"""The days are what they say, the small machine keeps its rules, and ours loads less than LRU does."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest

from policies.eviction import Choice, Demand, Resident
from policies.evictions_plain import LRU
from policies.request import Class, Kind
from tests.sim.residency import play
from tests.sim.residency_day import Trace, Use
from tests.sim.residency_models import GB, LEAVE_S, RUST, TALKER
from tests.sim.residency_traces import TRACES, cycle
from tests.sim.residency_ways import WAYS
from tests.sim.residency_world import World


def use(at_s: float, model: str, klass: Class = Class.FOREGROUND, **more) -> Use:
    return Use(at_s, model, Kind.CHAT, 100, 1000, "me", klass, **more)


def scene(*uses: Use) -> Trace:
    """Two models of one size, room for one."""
    return Trace("scene", (TALKER, RUST), 7 * GB, 20 * GB, uses)


@pytest.mark.parametrize("name", TRACES)
def test_the_same_seed_is_the_same_day(name: str) -> None:
    """In the order of its times, with models that fit alone; another seed is another day."""
    trace = TRACES[name](1)
    assert trace == TRACES[name](1) != TRACES[name](2)
    assert [one.at_s for one in trace.uses] == sorted(one.at_s for one in trace.uses)
    assert all(file.need_bytes <= trace.memory_bytes for file in trace.files)
    assert sum(file.need_bytes for file in trace.files) > trace.memory_bytes
    assert all(one.after is None or one.after < at for at, one in enumerate(trace.uses))


@pytest.mark.parametrize("way", WAYS)
def test_everybody_is_served_once(way: str) -> None:
    """Whoever chooses, each use of a day gets its first token."""
    trace = TRACES["zipf"](0)
    found = World(trace, WAYS[way]).run()
    assert sum(map(len, found.first_token_s.values())) == len(trace.uses)


def test_memory_is_never_overdrawn() -> None:
    """Memory is taken from the load on, and free only when the worker has gone."""
    held: list[int] = []

    class Watching:
        def __init__(self, world: World) -> None:
            self.world = world

        def choose(
            self, residents: list[Resident], shortfall: int, demand: Demand, now: float
        ) -> Choice | None:
            held.append(
                sum(m.file.need_bytes for m in self.world.models.values() if m.phase != "absent")
            )
            return LRU.choose(residents, shortfall, demand, now)

    trace = TRACES["team"](0)
    World(trace, Watching).run()
    assert max(held) <= trace.memory_bytes


def test_a_load_is_waited_for() -> None:
    """Cold from the disk first; then out of the page cache, behind the worker that leaves."""
    first, second, third = (use(0, RUST.name), use(100, TALKER.name), use(200, RUST.name))
    found = World(scene(first, second, third), WAYS["lru"]).run()
    prefill_s = RUST.prefill_s(1000)
    assert found.evictions == 2
    assert found.loading_s == pytest.approx(2 * RUST.cold_s + RUST.warm_s)
    assert found.first_token_s[Class.FOREGROUND] == pytest.approx(
        [
            RUST.cold_s + prefill_s,
            LEAVE_S + RUST.cold_s + prefill_s,
            LEAVE_S + RUST.warm_s + prefill_s,
        ]
    )


def test_a_keystroke_parks_what_runs_and_it_comes_back() -> None:
    """Who makes way is answered all the same; who is as urgent as the other is waited for."""
    long_answer = replace(use(0, RUST.name, Class.DEFERRED), tokens=5000)
    keystroke = use(10, TALKER.name, Class.INTERACTIVE)
    found = World(scene(long_answer, keystroke), WAYS["lru"]).run()
    assert (found.parked, found.loads) == (1, 3)
    assert found.first_token_s[Class.INTERACTIVE][0] < LEAVE_S + TALKER.cold_s + 1
    equal = World(scene(long_answer, replace(keystroke, klass=Class.DEFERRED)), WAYS["lru"]).run()
    assert (equal.parked, equal.loads) == (0, 2)


def test_hindsight_and_ours_beat_lru_on_a_cycle() -> None:
    """Four in turn with room for three: LRU loads at every use, who knows the order at every third."""
    loads = {way: World(cycle(0), find).run().loads for way, find in WAYS.items()}
    assert loads["lru"] == 240
    assert loads["clairvoyant"] <= 83
    assert loads["ours"] <= 90


@pytest.mark.slow
def test_ours_loads_less_than_lru() -> None:
    """In the mean of a day each, and on no trace much more."""
    ratios = [
        play(name, 0, "ours", WAYS["ours"]).figures["loading s"]
        / play(name, 0, "lru", WAYS["lru"]).figures["loading s"]
        for name in TRACES
    ]
    assert prod(ratios) ** (1 / len(ratios)) < 0.85
    assert max(ratios) < 1.1
