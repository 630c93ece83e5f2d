"""Which models are in memory, and what happens when their workers die."""

from __future__ import annotations

import pytest

from policies.messages import (
    Cancelled,
    End,
    EngineDied,
    Foreseen,
    Halt,
    Load,
    LoadFailed,
    MemoryChanged,
    Outcome,
    Park,
    Reason,
    Start,
    Stepped,
    Stopped,
    Tick,
    Unload,
    Unloaded,
)
from policies.request import Kind
from policies.view import Phase
from tests.policies.machine import Machine, ask, model, numbers, two


def test_an_unknown_model_is_refused() -> None:
    """At once."""
    refused = End(1, Outcome.REFUSED, Reason.NO_MODEL)
    assert Machine()(ask(1, name="gpt-4")) == [refused]


def test_a_model_larger_than_the_budget_is_refused() -> None:
    """At once, however long one would wait."""
    refused = End(1, Outcome.REFUSED, Reason.NO_ROOM)
    assert Machine(model(need=9), memory_bytes=8)(ask(1)) == [refused]


def test_a_model_that_fits_only_without_a_pinned_one_is_refused() -> None:
    """The pinned one never leaves."""
    machine = Machine(model("a", need=5, pinned=True), model("b", need=4), memory_bytes=8)
    machine(ask(1, name="a"))
    assert machine(ask(2, name="b")) == [End(2, Outcome.REFUSED, Reason.NO_ROOM)]


def test_a_failed_load_fails_all_who_wait_and_all_who_come() -> None:
    """Another try would not help."""
    machine = Machine()
    machine(ask(1), ask(2))
    assert machine(LoadFailed("m")) == [
        End(1, Outcome.FAILED, Reason.LOAD_FAILED),
        End(2, Outcome.FAILED, Reason.LOAD_FAILED),
    ]
    assert machine(ask(3)) == [End(3, Outcome.FAILED, Reason.LOAD_FAILED)]


def test_the_least_recently_used_idle_model_leaves() -> None:
    """One is enough, and its memory is free at Unloaded, not at Unload."""
    machine = Machine(model("a"), model("b"), model("c"), memory_bytes=2)
    for number, name in enumerate(["a", "b"]):
        machine(ask(number, name=name))
        machine.load(name)
        machine.wait(1)(Stopped(number, Halt.DONE))
    assert machine(ask(7, name="c")) == [Unload("a")]
    assert machine(Tick()) == []
    assert machine(Unloaded("a")) == [Load("c")]


def test_a_busy_model_is_waited_for() -> None:
    """Work that came before the wish is still served; work as urgent that comes later, for a bounded while."""
    machine = two(drain_s=5.0)
    machine(ask(2, name="a"))
    assert machine(ask(3, name="b")) == []
    assert numbers(machine.wait(1)(ask(4, name="a"))) == [("Start", 4)]
    assert machine.wait(4)(ask(5, name="a")) == []
    machine(Stopped(2, Halt.DONE))
    assert machine(Stopped(4, Halt.DONE))[1:] == [Unload("a")]
    assert machine(Unloaded("a")) == [Load("b")]


def test_lesser_work_starts_no_more_on_a_wanted_model() -> None:
    """It would hold up something more urgent."""
    machine = two()
    machine(ask(2, name="a"), ask(3, name="b"))
    assert machine(ask(4, Kind.CHAT, name="a")) == []


def test_background_work_makes_way_for_a_model_that_is_waited_for() -> None:
    """A keystroke waits for a chat on the model that must leave, but not for an index."""
    machine = two()
    machine(ask(2, Kind.INDEX, name="a"), ask(3, Kind.CHAT, name="a"))
    assert machine(ask(4, name="b")) == [Park(2, "a")]
    assert machine(Stopped(2, Halt.PARKED)) == []
    assert machine(Stopped(3, Halt.DONE))[1:] == [Unload("a")]


def test_when_nobody_wants_the_memory_any_more_work_goes_on() -> None:
    """What was held back starts in the same event that ends the wish."""
    machine = two()
    machine(ask(2, name="a"), ask(3, name="b"), ask(4, Kind.CHAT, name="a"))
    assert numbers(machine(Cancelled(3))) == [("End", 3), ("Start", 4)]


def test_background_work_does_not_displace_a_model_in_use() -> None:
    """Only one that has been idle for a while."""
    machine = two(settle_s=10.0)
    assert machine(ask(2, Kind.INDEX, name="b")) == []
    assert machine.scheduler.next_wakeup() == 10.0
    machine.wait(9)(ask(3, name="a"), Stopped(3, Halt.DONE))
    assert machine.wait(1)(Tick()) == []
    assert machine.wait(9)(Tick()) == [Unload("a")]


def test_background_work_is_not_starved_of_memory() -> None:
    """After a longer while the model in use takes no new work."""
    machine = two(drain_lesser_s=60.0)
    machine(ask(2, Kind.INDEX, name="b"))
    for number in range(10, 16):
        machine.wait(9)(ask(number, name="a"), Stopped(number, Halt.DONE))
    assert machine.wait(6)(Tick()) == [Unload("a")]


def test_nobody_overtakes_the_first_who_waits_for_memory() -> None:
    """A small model would take what the large one waits for."""
    machine = Machine(
        model("a", need=6), model("large", need=8), model("small", need=2), memory_bytes=8
    )
    machine(ask(1, name="a"))
    machine.load("a")
    assert machine(ask(2, name="large"), ask(3, name="small")) == []
    assert machine(Stopped(1, Halt.DONE))[1:] == [Unload("a")]
    assert machine(Unloaded("a")) == [Load("large")]


def test_a_foreseen_model_takes_free_memory_only() -> None:
    """It is loaded once, and nobody leaves for it."""
    machine = Machine(model("a"), model("b"), memory_bytes=1)
    assert machine(Foreseen("a")) == [Load("a")]
    assert machine(Foreseen("a")) == []
    assert machine(Foreseen("b")) == []


def test_a_smaller_budget_makes_models_leave() -> None:
    """The idle ones at once; what waits for one that can never come back is refused."""
    machine = two()
    assert machine(MemoryChanged(0)) == [Unload("a")]
    machine(ask(2, name="a"))
    assert machine(Unloaded("a")) == [End(2, Outcome.REFUSED, Reason.NO_ROOM)]


def dying(*numbers_: int) -> Machine:
    """Requests of that many numbers run on m."""
    machine = Machine()
    machine(*(ask(number) for number in numbers_))
    machine.load()
    return machine


def test_after_a_death_those_inside_are_tried_alone() -> None:
    """Nothing else starts beside one of them; the others are simply tried again."""
    machine = dying(1, 2, 3)
    assert machine(EngineDied("m", (1,))) == [Load("m")]
    assert machine.load() == [Start(1, "m", 4.0, 0.3, alone=True)]
    assert machine(ask(4)) == []
    assert numbers(machine(Stopped(1, Halt.DONE)))[1:] == [
        ("Start", 2),
        ("Start", 3),
        ("Start", 4),
    ]


def test_the_second_death_inside_is_poison() -> None:
    """And the model comes back for the others."""
    machine = dying(1, 2)
    machine(EngineDied("m", (1,)))
    machine.load()
    assert machine(EngineDied("m", (1,))) == [End(1, Outcome.FAILED, Reason.POISON), Load("m")]
    assert machine.load() == [Start(2, "m", 4.0, 0.3)]


def test_who_was_withdrawn_is_not_tried_again() -> None:
    """Its end has come."""
    machine = dying(1)
    machine(Cancelled(1))
    assert machine(EngineDied("m", (1,))) == []


@pytest.mark.parametrize("step", [(), (Stepped("m", ((1, 1),), 0, 0.1, 9),)])
def test_a_worker_that_keeps_dying_is_left_alone(step: tuple[Stepped, ...]) -> None:
    """Deaths with a step between do not count; after the while it is tried again."""
    machine = Machine(deaths_max=1, back_off_s=30.0)
    machine(ask(1), EngineDied("m", ()), *step)
    last = machine(EngineDied("m", ()))
    if step:
        assert last == [Load("m")]
        return
    failed = [End(1, Outcome.FAILED, Reason.ENGINE)]
    assert last == failed
    assert machine.wait(29)(ask(2)) == [End(2, Outcome.FAILED, Reason.ENGINE)]
    assert machine.wait(1)(ask(3)) == [Load("m")]


def test_a_pinned_model_comes_back() -> None:
    """Though nobody waits for it; the others come back when somebody does."""
    for pinned, actions in [(True, [Load("m")]), (False, [])]:
        machine = Machine(model(pinned=pinned))
        machine(Foreseen("m"))
        machine.load()
        assert machine(EngineDied("m", ())) == actions


def test_a_death_on_the_way_out_is_an_unload() -> None:
    """The memory is free either way."""
    machine = two()
    machine(ask(2, name="b"))
    assert machine(EngineDied("a", ())) == [Load("b")]


def test_news_of_a_former_life_changes_nothing() -> None:
    """A request that waits again does not end by what its dead worker still said."""
    machine = dying(1)
    machine(EngineDied("m", ()))
    assert machine(Stopped(1, Halt.DONE)) == []
    assert machine(Stopped(99, Halt.DONE)) == []


def test_the_picture_shows_how_things_stand() -> None:
    """Phases, counts and speeds, for status pages."""
    machine = dying(1)
    machine(ask(2, Kind.CHAT), Stepped("m", ((1, 2),), 0, 0.1, 9))
    picture = machine.scheduler.picture()
    (standing,) = picture.models
    assert (standing.phase, standing.running, standing.deaths) == (Phase.READY, 2, 0)
    assert standing.speed.decode.per_s == pytest.approx(20)
    assert sum(picture.running.values()) == 2
    assert sum(picture.waiting.values()) == 0
