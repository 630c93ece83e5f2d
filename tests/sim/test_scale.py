"""More work than the machine can do: nobody is forgotten, and nobody is answered twice."""

from __future__ import annotations

from policies.messages import Outcome
from policies.request import Class
from tests.sim.scale import crowd, play, report

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
