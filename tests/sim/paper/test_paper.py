"""The paper's set-up in the simulator: a few cells of its tables, and that ours is better."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.admissions_plain import FirstCome
from tests.sim.paper.arrivals import draw
from tests.sim.paper.clairvoyant import Planned, best_plan, keeps_all
from tests.sim.paper.contest import POLICIES, PREFILL_S, Cell, admission, mean_percent, run
from tests.sim.paper.published import CAPS, MIXES, SPEEDS, static_percent
from tests.sim.paper.serving import decode_per_s, serve


def test_the_engine_is_as_fast_as_measured():
    """At every load that the authors measured; slower with every request more."""
    assert all(decode_per_s(load) == pytest.approx(speed) for load, speed in SPEEDS.items())
    speeds = [decode_per_s(load) for load in range(1, 101)]
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[-1] > 0


@pytest.mark.parametrize("policy", ["cap 10", "cap 100", "published", "ours"])
@pytest.mark.parametrize("mix", MIXES)
def test_everybody_ends_once(mix, policy):
    """Whether its promise was kept or not, after it arrived and started."""
    requests = draw(mix, 10, 0)
    served = serve(requests, admission(policy), prefill_s=PREFILL_S)
    assert sorted(one.request.id for one in served) == [one.id for one in requests]
    assert all(one.request.at_s <= one.started_s < one.ended_s for one in served)


def test_a_lone_request_takes_its_prompt_and_its_tokens():
    """The engine's arithmetic, by hand."""
    lone = draw("w1", 1, 0)[:1]
    served = serve(lone, FirstCome(1), prefill_s=0.5)
    assert served[0].ended_s - lone[0].at_s == pytest.approx(0.5 + lone[0].task.tokens / SPEEDS[1])


def test_a_run_is_the_same_for_everybody():
    """The same seed draws the same requests, in the exact shares of the mix."""
    assert draw("w3", 5, 7) == draw("w3", 5, 7)
    assert draw("w3", 5, 7) != draw("w3", 5, 8)
    names = [one.task.name for one in draw("w3", 5, 7)]
    assert {name: names.count(name) for name in names} == MIXES["w3"]


@pytest.mark.parametrize(("mix", "rate"), [("w1", 2), ("w1", 10), ("w3", 6), ("w3", 10)])
def test_the_published_table_comes_out(mix, rate):
    """Within 20 points in every cell tried: one published run of a hundred requests is no nearer to its own mean."""
    theirs = dict(zip(CAPS, static_percent(mix, rate), strict=True))
    for cap in (10, 30, 60, 100):
        ours = mean_percent(run(Cell(mix, rate), f"cap {cap}", seed) for seed in range(4))
        assert ours == pytest.approx(theirs[cap], abs=20), cap


@pytest.mark.slow
@pytest.mark.parametrize(("mix", "rate"), [("w1", 6), ("w3", 10)])
def test_ours_keeps_more_promises(mix, rate):
    """Past saturation: at least 10 points above every cap, and above the paper's policy."""
    kept = {
        policy: mean_percent(run(Cell(mix, rate), policy, seed) for seed in range(2))
        for policy in POLICIES
    }
    ours = kept.pop("ours")
    assert ours > kept.pop("published")
    assert ours > max(kept.values()) + 10


def test_a_clairvoyant_keeps_what_it_says():
    """Its plan, carried out by the set-up that serves every policy: all who are in it end in time, and they are many."""
    requests = draw("w1", 10, 0)
    plan = best_plan(requests, prefill_s=PREFILL_S, seed=0, tries=20)
    served = serve(requests, Planned(plan, requests), prefill_s=PREFILL_S)
    assert {one.request.id for one in served if one.kept} >= set(plan)
    assert all(
        one.started_s == pytest.approx(plan[one.request.id])
        for one in served
        if one.request.id in plan
    )
    assert len(plan) > sum(run(Cell("w1", 10), "ours", 0).kept.values())


def test_a_plan_that_breaks_a_promise_is_seen():
    """Two that are in time alone and not together."""
    requests = [replace(one, at_s=0.0) for one in draw("w1", 1, 0)[:2]]
    alone_s = requests[0].task.tokens / SPEEDS[1]
    tight = [
        replace(one, task=replace(requests[0].task, within_s=alone_s + 0.01)) for one in requests
    ]
    assert keeps_all(tight, {tight[0].id: 0.0}, 0.0)
    assert keeps_all(tight, {tight[1].id: 0.009}, 0.0)
    assert not keeps_all(tight, {tight[1].id: 0.011}, 0.0)
    assert not keeps_all(tight, {one.id: 0.0 for one in tight}, 0.0)
    assert not keeps_all(tight, {tight[0].id: 0.0}, 0.011)
