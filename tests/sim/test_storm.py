"""Thousands of random scenes: every request ends exactly once, nobody starves, and the same facts decide the same."""

from __future__ import annotations

import pytest

from policies.messages import Arrived, End
from tests.sim.replay import replay
from tests.sim.simulator import Simulation
from tests.sim.workload import random_scene

SCENES = 2_000


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
