"""The chains' scene: its load is what it says, and the ways to promise can be compared on it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from policies.messages import Action, Event, Stepped
from tests.sim.chains import ChainSimulation, Way, alone_s, play, tasks_of


class Busy(ChainSimulation):
    """Adds up how long the engine's steps took."""

    busy_s = 0.0

    def _noted(self, now: float, event: Event, actions: Sequence[Action]) -> None:
        super()._noted(now, event, actions)
        if isinstance(event, Stepped):
            self.busy_s += event.duration_s


def test_the_load_is_the_time_that_requests_take_alone() -> None:
    """Side by side they take as much of the machine as one by one, or a load of 0.7 would not leave three tenths."""
    tasks = tasks_of(0, 0.5)
    busy = Busy(tasks, Way.UNAWARE)
    busy.run()
    alone = sum(
        alone_s(work.prompt, round(tokens, -1) or 1)
        for task in tasks
        for work, tokens in zip(task.works, task.lengths, strict=True)
    )
    assert busy.busy_s == pytest.approx(alone, rel=0.1)


def test_a_light_load_keeps_every_promise_of_a_chain() -> None:
    """What is lost at higher loads is lost to waiting."""
    assert play(0, 0.2, Way.PASSING).chains == 1.0


def test_the_same_seed_is_the_same_day() -> None:
    """Else the ways could not be compared seed by seed."""
    assert play(1, 0.2, Way.PASSING) == play(1, 0.2, Way.PASSING)
