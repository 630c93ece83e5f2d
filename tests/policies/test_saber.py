"""Our admission policy: what it may break, whom it lets wait, and that everybody is served."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.candidate import Candidate
from policies.forecast import broken, ends_s, share_of
from policies.request import Class
from policies.saber import PATIENCE_S, Saber


@dataclass(frozen=True)
class Linear:
    """An engine whose step takes `base_s` and `each_s` for each sequence."""

    base_s: float = 0.01
    each_s: float = 0.001
    prompt_token_s: float = 0.001

    def decode_per_s(self, sequences):
        return 1.0 / (self.base_s + self.each_s * sequences)

    def prefill_s(self, tokens):
        return self.prompt_token_s * tokens


PACE = Linear()


def candidate(
    number, *, tokens=100.0, within_s=None, first_s=None, prompt=0, klass=Class.FOREGROUND, at_s=0.0
):
    return Candidate(
        id=number,
        klass=klass,
        arrived_s=at_s,
        first_due_s=None if first_s is None else at_s + first_s,
        whole_due_s=None if within_s is None else at_s + within_s,
        prompt_tokens=prompt,
        tokens=tokens,
        tokens_max=int(tokens),
    )


def lost(running, *, now=0.0):
    """Ids of those whose promise will be broken if nobody else comes."""
    halt_s = sum(PACE.prefill_s(one.prompt_tokens) for one in running)
    return {
        share.id for share in broken(sorted(share_of(one, now) for one in running), halt_s, PACE)
    }


requests = st.builds(
    lambda tokens, prompt, within_s, first_s: (tokens, prompt, within_s, first_s),
    st.floats(1, 600),
    st.integers(0, 500),
    st.none() | st.floats(0.1, 20),
    st.none() | st.floats(0.05, 3),
)


def made(drawn, first_id):
    return [
        candidate(first_id + n, tokens=tokens, prompt=prompt, within_s=within_s, first_s=first_s)
        for n, (tokens, prompt, within_s, first_s) in enumerate(drawn)
    ]


@given(st.lists(requests, max_size=8), st.lists(requests, max_size=8))
def test_nobody_starts_who_breaks_a_promise_that_could_be_kept(running, waiting):
    """Whoever runs and is in time still is; so is the newcomer, unless he was promised nothing or cannot be."""
    crew, queue = made(running, 0), made(waiting, 100)
    verdict = Saber(PACE).next(queue, crew, now=0.0)
    if verdict.start is None:
        return
    newcomer = next(one for one in queue if one.id == verdict.start)
    assert lost([*crew, newcomer]) <= lost(crew) | lost([newcomer])


@given(st.lists(requests, min_size=1, max_size=8))
def test_an_idle_engine_always_starts_somebody(waiting):
    """Nobody waits for nothing, however hopeless they all are."""
    assert Saber(PACE).next(made(waiting, 0), [], now=0.0).start is not None


def test_one_hopeless_request_does_not_freeze_admission():
    """A running request whose promise is lost holds nobody up."""
    late = candidate(1, tokens=500, within_s=1.0)
    fresh = candidate(2, tokens=100, within_s=3.0)
    assert Saber(PACE).next([fresh], [late], now=0.0).start == 2


def test_a_promise_that_can_be_kept_holds_others_up():
    """The same request in time: nobody may slow it."""
    tight = candidate(1, tokens=500, within_s=500 * 0.011)
    fresh = candidate(2, tokens=100, within_s=3.0)
    assert Saber(PACE).next([fresh], [tight], now=0.0).start is None


def test_a_prompt_is_charged_to_those_who_run():
    """A newcomer whose tokens are harmless may be too much with his prompt."""
    crew = [candidate(1, tokens=100, within_s=1.4)]
    assert Saber(PACE).next([candidate(2, tokens=10, within_s=9)], crew, now=0.0).start == 2
    assert (
        Saber(PACE).next([candidate(2, tokens=10, within_s=9, prompt=400)], crew, now=0.0).start
        is None
    )


def test_the_promise_of_a_first_token_ends_with_it():
    """Who has produced something is owed no first token any more."""
    waiting_for_it = candidate(1, tokens=50, first_s=0.1)
    newcomer = candidate(2, tokens=10, within_s=9, prompt=300)
    assert Saber(PACE).next([newcomer], [waiting_for_it], now=0.0).start is None
    begun = waiting_for_it._replace(produced=1)
    assert Saber(PACE).next([newcomer], [begun], now=0.0).start == 2


def test_background_counts_as_load():
    """Work without a promise slows those who have one: too much of it, and a tight newcomer waits."""
    background = [candidate(n, tokens=1000, klass=Class.BACKGROUND) for n in range(10)]
    newcomer = candidate(20, tokens=100, within_s=1.5)
    assert Saber(PACE).next([newcomer], [], now=0.0).start == 20
    assert Saber(PACE).next([newcomer], background, now=0.0).start is None


def test_background_leaves_room():
    """It starts beside a promise only where a larger load would keep it; a promised one needs no such room."""
    crew = [candidate(1, tokens=100, within_s=1.25)]
    assert Saber(PACE).next([candidate(2, tokens=100, within_s=9)], crew, now=0.0).start == 2
    assert Saber(PACE).next([candidate(2, tokens=100)], crew, now=0.0).start is None
    roomy = [candidate(1, tokens=100, within_s=2.0)]
    assert Saber(PACE).next([candidate(2, tokens=100)], roomy, now=0.0).start == 2


def test_the_loosest_of_a_class_goes_first():
    """Of two that fit, the one for whom less of the time is work; a more urgent class before both."""
    tight = candidate(1, tokens=100, within_s=1.5)
    loose = candidate(2, tokens=100, within_s=3.0)
    deferred = candidate(3, tokens=100, within_s=30.0, klass=Class.DEFERRED)
    assert Saber(PACE).next([tight, loose, deferred], [], now=0.0).start == 2


def test_the_shortest_of_the_demoted_goes_first():
    """Its prompt counts as work; a more urgent class before all; who was promised nothing is one of them."""
    late = candidate(1, tokens=300, within_s=0.1)
    short = candidate(2, tokens=100)
    wordy = candidate(3, tokens=90, within_s=0.1, prompt=200)
    lesser = candidate(4, tokens=10, klass=Class.DEFERRED)
    assert Saber(PACE).next([late, lesser, wordy, short], [], now=0.0).start == 2
    assert Saber(PACE).next([late, lesser, wordy], [], now=0.0).start == 3


def test_patience_goes_by_age():
    """However much shorter those are who came later."""
    now = PATIENCE_S + 1
    tight = candidate(1, tokens=500, within_s=500 * 0.012, at_s=now)
    old, young = candidate(2, tokens=300), candidate(3, tokens=250, at_s=0.5)
    assert Saber(PACE).next([young, old], [tight], now=now).start == 2


def test_it_asks_to_be_woken_when_somebody_becomes_hopeless():
    """No polling: the earliest moment at which an engine of one's own would be too late."""
    crew = [candidate(1, tokens=500, within_s=500 * 0.011)]
    queue = [candidate(2, tokens=100, within_s=3.0), candidate(3, tokens=100, within_s=2.0)]
    verdict = Saber(PACE).next(queue, crew, now=0.0)
    assert verdict.start is None
    assert verdict.wake_s == pytest.approx(2.0 - 100 * 0.011)


def test_the_demoted_get_turns_though_the_engine_is_never_idle():
    """Out of patience, they start whatever it breaks: one at a time, the one that has waited longest first."""
    policy = Saber(PACE)
    now = PATIENCE_S + 1
    tight = candidate(1, tokens=500, within_s=500 * 0.012, at_s=now)
    first, second = candidate(2, tokens=100, within_s=1.0), candidate(3, tokens=100, within_s=1.0)
    assert policy.next([first, second], [tight], now=now).start == 2
    assert policy.next([second], [tight, first], now=now).start is None
    assert policy.next([second], [tight], now=now).start == 3


@given(st.lists(st.floats(1, 500), min_size=1, max_size=10), st.floats(0, 2))
def test_the_forecast_is_the_schedule(tokens, halt_s):
    """Played in small steps of time, the requests end when the forecast says."""
    shares = sorted(share_of(candidate(n, tokens=each), 0.0) for n, each in enumerate(tokens))
    left = {share.id: share.tokens for share in shares}
    at_s = halt_s
    for share, end_s in zip(shares, ends_s(shares, halt_s, PACE), strict=True):
        speed = PACE.decode_per_s(len(left))
        step_s = left.pop(share.id) / speed
        at_s += step_s
        left = {key: tokens - step_s * speed for key, tokens in left.items()}
        assert end_s == pytest.approx(at_s)
