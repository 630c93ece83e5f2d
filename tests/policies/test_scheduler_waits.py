"""Waits that have a bound: for another model's memory, for being alone, for chats that keep coming."""

from __future__ import annotations

from policies.messages import (
    EngineDied,
    Halt,
    Load,
    Loaded,
    Park,
    Start,
    Stopped,
    Tick,
    Unload,
    Unloaded,
)
from policies.request import Kind
from policies.step_time import StepTimes
from tests.policies.machine import Machine, ask, numbers, two


def swapped_for_an_index(**limits) -> Machine:
    """An index on b has waited so long that b was loaded for it; meanwhile a keystroke came for a."""
    machine = two(drain_lesser_s=60.0, patience_s=60.0, turn_s=5.0, **limits)
    machine(ask(2, Kind.INDEX, name="b"))
    for number in range(10, 16):
        machine.wait(9)(ask(number, name="a"), Stopped(number, Halt.DONE))
    machine.wait(6)(Tick(), Unloaded("a"))
    machine.wait(1)(ask(3, name="a"))
    return machine


def test_who_must_leave_comes_back_behind_whom_it_left_for() -> None:
    """More urgent work that waits for it would else bring it back at once: b would never be loaded."""
    machine = two(drain_s=5.0)
    machine(ask(2, Kind.CHAT, name="a"), ask(3, Kind.TRANSLATE, name="b"))
    assert machine.wait(6)(ask(4, Kind.CHAT, name="a")) == []
    assert machine(Stopped(2, Halt.DONE))[1:] == [Unload("a")]
    assert machine(Unloaded("a")) == [Load("b")]
    assert numbers(machine(Loaded("b", 1, 1.0, 0))) == [("Start", 3)]
    assert machine(Stopped(3, Halt.DONE))[1:] == [Unload("b")]
    assert machine(Unloaded("b")) == [Load("a")]


def test_a_turn_is_not_cut_short_for_memory() -> None:
    """Else b would be loaded for its index and unloaded at once, without a step, again and again."""
    machine = swapped_for_an_index()
    assert numbers(machine.load("b")) == [("Start", 2)]
    assert machine.scheduler.next_wakeup() == machine.now + 5.0
    assert machine.wait(5)(Tick()) == [Park(2, "b")]
    assert machine(Stopped(2, Halt.PARKED)) == [Unload("b")]
    assert machine(Unloaded("b")) == [Load("a")]


def test_a_run_without_a_token_ends_no_wait() -> None:
    """An index that is parked as soon as it starts would else never have waited long enough for a turn."""
    machine = two(settle_s=10.0, drain_lesser_s=100.0, patience_s=60.0)
    machine(ask(2, Kind.INDEX, name="b"))
    machine.wait(10)(Tick(), Unloaded("a"), ask(3, name="a"))
    assert [type(action) for action in machine.load("b")] == [Start, Park]
    machine(Stopped(2, Halt.PARKED), Unloaded("b"))
    machine.load("a")
    machine(Stopped(3, Halt.DONE))
    machine.wait(50)(Tick(), Unloaded("a"), ask(4, name="a"))
    assert numbers(machine.load("b")) == [("Start", 2)]


def test_a_keystroke_does_not_wait_for_the_chat_that_holds_the_wanted_memory() -> None:
    """The memory waits for that chat anyway; when it has ended a keystroke waits for the swap."""
    machine = two(drain_s=5.0)
    machine(ask(2, Kind.CHAT, name="a"), ask(3, Kind.CHAT, name="b"))
    assert numbers(machine.wait(6)(ask(4, name="a"))) == [("Start", 4)]
    machine(Stopped(2, Halt.DONE))
    assert machine(ask(5, name="a")) == []
    assert machine(Stopped(4, Halt.DONE))[1:] == [Unload("a")]


def test_who_must_be_alone_is_not_outwaited() -> None:
    """Two chats in turn would never leave all sequences; after a while only keystrokes go before it."""
    machine = Machine(patience_s=60.0)
    machine(ask(1, Kind.INDEX))
    machine.load()
    machine(EngineDied("m", (1,)), ask(2, Kind.CHAT))
    machine.load()
    assert numbers(machine.wait(59)(ask(3, Kind.CHAT))) == [("Start", 3)]
    assert machine.wait(1)(ask(4, Kind.CHAT)) == []
    assert numbers(machine(ask(5))) == [("Start", 5)]
    machine(Stopped(2, Halt.DONE), Stopped(5, Halt.DONE))
    assert numbers(machine(Stopped(3, Halt.DONE))) == [("End", 3), ("Start", 1)]


def test_a_translation_is_not_outwaited_by_chats() -> None:
    """It goes before them when it has waited a minute, and one in a minute does."""
    machine = Machine()
    machine(ask(1, Kind.CHAT))
    machine.load(sequences=2)
    machine(ask(2, Kind.TRANSLATE), ask(3, Kind.TRANSLATE), ask(4, Kind.CHAT))
    assert numbers(machine.wait(60)(Stopped(1, Halt.DONE), ask(5, Kind.CHAT))) == []
    assert numbers(machine(Stopped(2, Halt.DONE))) == [("End", 2), ("Start", 4)]
    assert numbers(machine.wait(60)(Stopped(4, Halt.DONE))) == [("End", 4), ("Start", 3)]


def test_a_step_of_no_time_teaches_nothing() -> None:
    """A clock may be too coarse for it; nothing can be divided by it."""
    times = StepTimes()
    for duration_s in (0.0, 0.0, 0.1):
        times.observe(rows=1, tokens_each=1, duration_s=duration_s)
    assert times.predict(rows=1, tokens_each=1) == 0.1
