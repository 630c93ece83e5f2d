"""Thousands of random scenes: every request ends exactly once, nobody starves, and the same facts decide the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from daemon.journal import Entry
from policies.messages import Arrived, End, Park, Start, Tick
from policies.regimes import Policy, find_regime
from policies.scheduler import Scheduler
from tests.sim.replay import replay
from tests.sim.simulator import Simulation
from tests.sim.workload import random_scene

SCENES = 2_000
POLICY_SCENES = 25
TICKS_A_REQUEST = 10
"""Wake-ups that nothing came of are few: those of limits, of admission and of memory."""


def journal_s(journal: Iterable[Entry]) -> float:
    """How long a day was; the published SABER looks at its clock a hundred times a second."""
    return max((entry.now for entry in journal), default=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(8))
def test_every_request_ends_exactly_once(block: int) -> None:
    """However unlucky the day; the invariants are asserted after every event."""
    for seed in range(block * SCENES // 8, (block + 1) * SCENES // 8):
        simulation = Simulation(random_scene(seed))
        journal = simulation.run()
        arrived = [e.event.request.id for e in journal if isinstance(e.event, Arrived)]
        ended = [a.request_id for e in journal for a in e.actions if isinstance(a, End)]
        assert sorted(ended) == sorted(arrived), f"seed {seed}"
        assert all(standing.running == 0 for standing in simulation.scheduler.picture().models)


@pytest.mark.slow
def test_the_same_facts_decide_the_same() -> None:
    """A journal replayed gives its own actions again, line by line."""
    for seed in range(100):
        scene = random_scene(seed)
        assert replay(Simulation(scene).run(), scene.models, scene.limits) is None, f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("policy", Policy)
def test_every_policy_ends_every_request_once(policy: Policy) -> None:
    """And gives nobody a sequence more often than it was taken from him: nothing goes round in circles."""
    for seed in range(POLICY_SCENES):
        scene = random_scene(seed)
        scheduler = Scheduler(scene.models, scene.limits, find_regime(policy))
        simulation = Simulation(scene, scheduler=scheduler)
        journal = simulation.run()
        arrived = [e.event.request.id for e in journal if isinstance(e.event, Arrived)]
        actions = [action for entry in journal for action in entry.actions]
        ended = [action.request_id for action in actions if isinstance(action, End)]
        assert sorted(ended) == sorted(arrived), f"seed {seed}"
        assert all(standing.running == 0 for standing in scheduler.picture().models)
        starts = Counter(action.request_id for action in actions if isinstance(action, Start))
        parks = Counter(action.request_id for action in actions if isinstance(action, Park))
        for number, count in starts.items():
            assert count <= 1 + parks[number] + scene.limits.setbacks_max, f"seed {seed}"
        # Each keystroke makes one way at most, whatever was promised something one of background work.
        assert max(parks.values(), default=0) <= len(arrived), f"seed {seed}"
        ticks = sum(isinstance(entry.event, Tick) for entry in journal)
        assert ticks <= TICKS_A_REQUEST * len(arrived) + 100 * journal_s(journal), f"seed {seed}"
