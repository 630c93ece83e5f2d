"""More work than the machine can do: nobody is forgotten, and nobody is answered twice."""

from __future__ import annotations

from policies.messages import Action, Event, Outcome
from policies.request import Class
from policies.scheduler import Scheduler
from tests.sim.scale import crowd, play, report
from tests.sim.simulator import Simulation

REQUESTS = 150


def test_everybody_ends_once_however_many_they_are() -> None:
    """Who is not withdrawn, superseded or refused is served; keystrokes wait less than what nobody waits for."""
    found, timed = play(crowd(REQUESTS), check=True)
    assert found.unserved == []
    assert set(found.ends.values()) == {1}
    assert sum(found.ends.values()) == len(timed.took_us["Arrived"]) >= REQUESTS * 0.9
    assert found.ended[Class.INTERACTIVE, Outcome.SUPERSEDED] > 0
    waits_s = found.longest_wait_s
    assert waits_s[Class.INTERACTIVE] < waits_s[Class.BACKGROUND]
    assert "unserved: 0" in report(found, timed)


class Thorough(Scheduler):
    """Looks at every model at every event."""

    def handle(self, event: Event, *, now: float) -> list[Action]:
        self._dispatch._left.clear()
        return super().handle(event, now=now)


def test_a_model_that_nothing_happened_to_need_not_be_looked_at() -> None:
    """The same is decided at the same moments as where all are looked at each time."""
    scene = crowd(4 * REQUESTS)
    decided = {
        way: [
            (entry.now, entry.actions)
            for entry in Simulation(scene, scheduler=way(scene.models, scene.limits)).run()
            if entry.actions
        ]
        for way in (Scheduler, Thorough)
    }
    assert decided[Scheduler] == decided[Thorough]
    assert len(decided[Scheduler]) > 2 * REQUESTS
