"""Chains: what each call is promised of what its run has left, and what runs teach."""

from __future__ import annotations

import pytest

from policies.chain import LEARNT, Call, Chain
from policies.link import Link
from policies.messages import Outcome
from policies.request import Promise
from policies.runs import Runs
from policies.spread import Spread

OWN = Promise(first_token_s=1.5, gap_s=0.25)
PORT = Chain("port", (Call("summarise"), Call("translate", weight=2), Call("fix")), within_s=20)


class Client:
    """Makes calls of one chain, and lets time pass."""

    def __init__(self, chain: Chain = PORT, *, idle_max: int = 8, idle_s_max: float = 60.0) -> None:
        self.runs = Runs([chain], idle_max=idle_max, idle_s_max=idle_s_max)
        self.now = 0.0
        self._last = 0

    def arrive(self, call: int, run: str = "r") -> Promise:
        self._last += 1
        return self.runs.arrived(self._last, Link("port", call, run), OWN, now=self.now)

    def end(self, outcome: Outcome = Outcome.DONE) -> None:
        self.runs.ended(self._last, outcome, now=self.now)

    def call(
        self,
        call: int,
        took_s: float,
        run: str = "r",
        *,
        waited_s: float = 0.0,
        first_s: float | None = None,
    ) -> Promise:
        """One call from its arrival to its end, which took so long once it had started."""
        promise = self.arrive(call, run)
        self.now += waited_s
        self.runs.started(self._last, now=self.now)
        if first_s is not None:
            self.runs.spoke(self._last, now=self.now + first_s)
        self.now += took_s
        self.end()
        return promise

    def learn(self, *took_s: float, runs: int = LEARNT, **how: float) -> None:
        """Whole runs, each call of which takes that long."""
        for number in range(runs):
            for call, seconds in enumerate(took_s):
                self.call(call, seconds, f"learn {number}", **how)


def share_s(promise: Promise) -> float | None:
    return promise.whole_s


def test_what_belongs_to_no_chain_keeps_its_promise() -> None:
    """And its end teaches nothing."""
    runs = Runs([PORT], idle_max=8, idle_s_max=60.0)
    assert runs.arrived(1, None, OWN, now=0.0) == OWN
    runs.ended(1, Outcome.DONE, now=1.0)


def test_until_times_are_learnt_weights_share() -> None:
    """A quarter, then two thirds of what is left, then all of it."""
    client = Client()
    assert share_s(client.call(0, 4.0)) == 5.0
    assert share_s(client.call(1, 10.0)) == pytest.approx(16.0 * 2 / 3)
    assert share_s(client.arrive(2)) == 6.0


def test_time_that_was_not_used_flows_to_later_calls() -> None:
    """A first call that ends at once leaves more to the second than one that takes its share."""
    quick, slow = Client(), Client()
    quick.call(0, 0.0)
    slow.call(0, 5.0)
    assert share_s(quick.arrive(1)) == pytest.approx(20 * 2 / 3)
    assert share_s(slow.arrive(1)) == pytest.approx(15 * 2 / 3)


def test_shares_follow_learnt_times() -> None:
    """Declared 1, 2, 1; measured 6, 1, 1."""
    client = Client()
    client.learn(6.0, 1.0, 1.0)
    assert share_s(client.arrive(0)) == pytest.approx(20 * 6 / 8)


def test_waiting_is_no_need() -> None:
    """A call that waits long is not given more time for it, or it would wait ever longer."""
    client = Client()
    client.learn(1.0, 1.0, 1.0, waited_s=3.0)
    assert share_s(client.arrive(0)) == pytest.approx(20 / 3)


def test_a_call_that_is_not_learnt_yet_counts_by_its_weight_beside_those_that_are() -> None:
    """The first took 3 s at weight 1, so the others are taken for 6 s and 3 s."""
    client = Client()
    for number in range(LEARNT):
        client.call(0, 3.0, f"only {number}")
    client.now += 100.0  # those runs are over: they teach that the other calls are made less often
    learnt = client.runs._learnt["port"]
    assert learnt.needs_s() == [3.0, 6.0, 3.0]


def test_a_call_that_is_seldom_made_is_given_little_of_the_path() -> None:
    """One in ten needs the repair: a tenth of its time is kept for it."""
    calls = (Call("translate"), Call("fix", times=0.1))
    client = Client(Chain("port", calls, within_s=11))
    assert share_s(client.arrive(0)) == pytest.approx(10.0)


def test_how_often_a_call_is_made_is_learnt() -> None:
    """Declared as made each time, and never made: after many runs nothing is kept for it."""
    client = Client(Chain("port", (Call("a"), Call("b")), within_s=10), idle_s_max=1.0)
    for number in range(100):
        client.call(0, 1.0, f"run {number}")
        client.now += 2.0
    assert share_s(client.arrive(0)) == pytest.approx(10.0, rel=0.01)


def test_a_repeated_call_keeps_the_due_time_of_its_run() -> None:
    """A second try has what the first has left."""
    client = Client()
    client.call(2, 15.0)
    assert share_s(client.arrive(2)) == 5.0


def test_a_first_call_after_the_last_begins_a_new_run() -> None:
    """A client may use one id again and again."""
    client = Client()
    for call in range(3):
        client.call(call, 5.0)
    assert share_s(client.arrive(0)) == 5.0


def test_pauses_of_the_client_are_taken_off() -> None:
    """Two seconds of compiling before each later call cannot be shared out."""
    client = Client()
    for number in range(3):
        for call in range(3):
            client.call(call, 0.0, f"run {number}")
            client.now += 2.0
    assert share_s(client.arrive(0, "next")) == pytest.approx((20 - 4) / 4)


def test_the_promise_may_be_on_the_first_token_of_the_last_call() -> None:
    """Earlier calls leave time for that token alone; the last is promised all that is left for it."""
    chain = Chain("port", (Call("search"), Call("answer")), within_s=10, first_token=True)
    client = Client(chain)
    client.learn(4.0, 8.0, first_s=1.0)
    assert share_s(client.call(0, 4.0)) == pytest.approx(10 * 4 / 5)
    last = client.arrive(1)
    assert last == Promise(first_token_s=6.0, gap_s=0.25)


def test_what_cannot_be_kept_is_best_effort() -> None:
    """The means of the path do not fit any more: its class's promise, and no place before others."""
    client = Client()
    client.learn(4.0, 4.0, 4.0)
    client.call(0, 13.0)
    assert client.arrive(1) == OWN


def test_no_share_is_negative_when_time_is_over() -> None:
    """Nothing was learnt, and the run is late."""
    client = Client()
    client.call(0, 25.0)
    assert client.arrive(1) == OWN


def test_what_failed_says_nothing() -> None:
    """Neither how long a call takes nor that it was made."""
    client = Client()
    client.arrive(0)
    client.end(Outcome.FAILED)
    learnt = client.runs._learnt["port"]
    assert learnt.took[0].count == 0
    client.now = 4.0
    assert share_s(client.arrive(0)) == pytest.approx(16 / 4)


def test_abandoned_runs_are_forgotten() -> None:
    """A call that comes later than that begins anew."""
    client = Client(idle_s_max=5.0)
    client.call(0, 1.0)
    client.now += 5.1
    assert share_s(client.arrive(2)) == 20.0


def test_idle_runs_have_a_limit() -> None:
    """The longest idle goes first; one with a call inside is never forgotten."""
    client = Client(idle_max=2)
    client.arrive(0, "inside")
    for run in ("first", "second", "third"):
        client.call(0, 1.0, run)
    assert [run for _, run in client.runs._idle] == ["second", "third"]
    assert [run for _, run in client.runs._busy] == ["inside"]


def test_calls_of_one_run_may_be_inside_together() -> None:
    """A review asks about three files at once; the run is idle when the last of them ends."""
    client = Client()
    for number in (1, 2, 3):
        client.runs.arrived(number, Link("port", 0, "r"), OWN, now=0.0)
    for number in (1, 2, 3):
        assert not client.runs._idle
        client.runs.ended(number, Outcome.DONE, now=1.0)
    assert len(client.runs._idle) == 1


def test_the_spread_of_what_never_varies() -> None:
    """Its decile is its mean."""
    spread = Spread()
    for _ in range(3):
        spread = spread.after(2.0)
    assert (spread.mean, spread.decile) == (2.0, 2.0)


def test_nine_in_ten_are_under_the_decile() -> None:
    """Of evenly spread values from 0 to 1 the normal rule gives 0.87 in the long run."""
    spread = Spread()
    for n in range(1_000):
        spread = spread.after(n * 0.618034 % 1)
    assert 0.75 < spread.decile < 1.0
