"""The plain admission policies."""

from __future__ import annotations

import pytest

from policies.admissions_plain import ByClass, FirstCome, RoundRobin
from policies.candidate import Candidate
from policies.request import Class


def candidate(number, klass):
    return Candidate(
        id=number,
        klass=klass,
        arrived_s=float(number),
        first_due_s=None,
        whole_due_s=None,
        prompt_tokens=0,
        tokens=10,
        tokens_max=10,
    )


QUEUE = [
    candidate(4, Class.FOREGROUND),
    candidate(5, Class.FOREGROUND),
    candidate(3, Class.DEFERRED),
    candidate(1, Class.BACKGROUND),
    candidate(2, Class.BACKGROUND),
]


def order(policy):
    """The order in which everybody starts, with nobody running."""
    waiting, started = list(QUEUE), []
    while waiting:
        start = policy.next(waiting, [], now=0.0).start
        started.append(start)
        waiting = [one for one in waiting if one.id != start]
    return started


def test_first_come_first_served():
    """Arrival counts, class does not."""
    assert order(FirstCome(1)) == [1, 2, 3, 4, 5]


def test_strict_priority():
    """Class counts first, then arrival."""
    assert order(ByClass(1)) == [4, 5, 3, 1, 2]


def test_round_robin():
    """Each class that waits has a turn before any has a second."""
    assert order(RoundRobin(1)) == [4, 3, 1, 5, 2]


@pytest.mark.parametrize("policy", [FirstCome(2), ByClass(2), RoundRobin(2)])
def test_the_cap_holds(policy):
    """With two running nobody starts, and no clock changes that."""
    verdict = policy.next(
        QUEUE, [candidate(8, Class.FOREGROUND), candidate(9, Class.FOREGROUND)], now=0.0
    )
    assert verdict.start is None
    assert verdict.wake_s is None
