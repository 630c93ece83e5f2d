"""The paper's admission policy, as published."""

from __future__ import annotations

from itertools import pairwise

from policies.candidate import Candidate
from policies.request import Class
from policies.saber_published import LOAD_MAX, PublishedSaber, speed_per_s


def candidate(number, *, tokens=500, within_s=10.0, at_s=0.0):
    return Candidate(
        id=number,
        klass=Class.FOREGROUND,
        arrived_s=at_s,
        first_due_s=None,
        whole_due_s=at_s + within_s,
        prompt_tokens=0,
        tokens=tokens,
        tokens_max=tokens,
    )


def played(policy, waiting, *, until_s, running=(), now=0.0):
    """Ids in the order in which they start, nobody ending meanwhile."""
    waiting, running, started = list(waiting), list(running), []
    while now < until_s:
        verdict = policy.next(waiting, running, now=now)
        if verdict.start is None:
            now = verdict.wake_s if verdict.wake_s is not None else until_s
            continue
        started.append(verdict.start)
        running += [one for one in waiting if one.id == verdict.start]
        waiting = [one for one in waiting if one.id != verdict.start]
    return started


def test_the_curve_falls_and_stays_positive():
    """The authors' script had constants that exploded at 33; what they measured is within 6 %."""
    speeds = [speed_per_s(load) for load in range(1, LOAD_MAX + 1)]
    assert all(more > less > 0 for more, less in pairwise(speeds))
    for load, measured in ((1, 94.95), (10, 82.48), (20, 63.26), (30, 58.54), (60, 44.98)):
        assert abs(speed_per_s(load) / measured - 1) < 0.06


def test_the_curve_is_kept_to_what_was_measured():
    """It turns up beyond, where nobody measured."""
    assert speed_per_s(LOAD_MAX + 100) == speed_per_s(LOAD_MAX)


def test_load_is_counted_once():
    """As many start as the curve says are fast enough, not half of them."""
    need = 500 / 10.0
    enough = max(load for load in range(1, LOAD_MAX) if speed_per_s(load) >= need)
    started = played(PublishedSaber(), [candidate(n) for n in range(100)], until_s=0.9)
    assert abs(len(started) - enough) <= 5


def test_the_expired_join_the_low_queue_within_a_second_and_go_last():
    """Who is out of time waits until the high queue is empty."""
    late = candidate(1, within_s=0.001)
    others = [candidate(2), candidate(3)]
    assert sorted(played(PublishedSaber(), [late, *others], until_s=2.0)[:2]) == [2, 3]
    assert 1 in played(PublishedSaber(), [late, *others], until_s=2.0)


def test_the_choice_stays_in_the_window():
    """The twenty-first is not looked at while twenty are before it."""
    first = PublishedSaber().next([candidate(n) for n in range(100)], [], now=0.0)
    assert first.start is not None
    assert first.start < 20


def test_one_tight_request_freezes_admission():
    """The weakness that ours does not have: what it needed when it started holds until it ends."""
    policy = PublishedSaber()
    tight = candidate(1, within_s=500 / 98.0)
    assert played(policy, [tight], until_s=0.5) == [1]
    assert played(policy, [candidate(2)], until_s=5.0, running=[tight], now=0.5) == []
