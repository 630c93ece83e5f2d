"""Other models' lesser work rests while one serves a keystroke."""

from __future__ import annotations

from policies.messages import Halt, Pause, Stopped, Unpause
from policies.request import Kind
from tests.policies.machine import Machine, ask, model, numbers


def two(**limits) -> Machine:
    """Two models, both resident."""
    machine = Machine(model("a"), model("b"), **limits)
    machine(ask(1, name="a"), ask(2, name="b"))
    machine.load("a")
    machine.load("b")
    machine(Stopped(1, Halt.DONE), Stopped(2, Halt.DONE))
    return machine


def test_lesser_work_rests_for_a_keystroke_in_another_model() -> None:
    """From the moment it starts until it has ended, once for several."""
    machine = two(rest_s=1.0)
    machine(ask(3, Kind.INDEX, name="a"))
    actions = machine(ask(4, name="b"))
    assert numbers(actions) == [("Start", 4)]
    assert actions[1:] == [Pause("a", below=3.0, progress_s=1.0)]
    assert numbers(machine(ask(5, name="b"))) == [("Start", 5)]
    assert machine(Stopped(4, Halt.DONE))[1:] == []
    assert machine(Stopped(5, Halt.DONE))[1:] == [Unpause("a")]


def test_chats_go_on_and_so_does_the_keystrokes_own_model() -> None:
    """A chat was promised short pauses; within a worker urgency decides."""
    machine = two()
    machine(ask(3, Kind.CHAT, name="a"), ask(4, Kind.INDEX, name="b"))
    assert numbers(machine(ask(5, name="b"))) == [("Start", 5)]


def test_what_starts_while_another_serves_a_keystroke_rests_at_once() -> None:
    """And is let go in the event that ends the keystroke, or when it has gone itself."""
    machine = two()
    machine(ask(3, name="b"))
    actions = machine(ask(4, Kind.INDEX, name="a"))
    assert actions[1:] == [Pause("a", below=3.0, progress_s=1.0)]
    assert machine(Stopped(4, Halt.DONE))[1:] == [Unpause("a")]


def test_it_can_be_turned_off() -> None:
    """Where models do not share a device."""
    machine = two(rest_s=0.0)
    machine(ask(3, Kind.INDEX, name="a"))
    assert numbers(machine(ask(4, name="b"))) == [("Start", 4)]
