"""Who starts, who waits, who makes way."""

from __future__ import annotations

from policies.messages import (
    Cancelled,
    End,
    Halt,
    Load,
    Outcome,
    Reason,
    Start,
    Stop,
    Stopped,
    Tick,
)
from policies.request import Kind, Promise
from tests.policies.machine import HERE, Machine, ask, model, numbers


def test_a_model_is_loaded_once_for_all_who_wait() -> None:
    """The first who needs it asks for it; the others share the load."""
    machine = Machine()
    assert machine(ask(1)) == [Load("m")]
    assert machine(ask(2)) == []
    assert numbers(machine.load()) == [("Start", 1), ("Start", 2)]


def test_start_carries_urgency_and_the_time_left() -> None:
    """A completion is promised its first token within 0.3 s, of which 0.1 s have gone."""
    machine = Machine()
    machine(ask(1))
    assert machine.wait(0.1).load() == [Start(1, "m", urgency=4.0, slack_s=0.3 - 0.1)]


def test_what_was_promised_nothing_has_much_slack() -> None:
    """The engine may take its time over background work, and over nothing before it."""
    machine = Machine()
    machine(ask(1, Kind.INDEX))
    assert machine.load() == [Start(1, "m", urgency=1.0, slack_s=60.0)]


def test_class_goes_before_arrival() -> None:
    """And of what was promised something only two of three start: a sequence is left for keystrokes, here taken by one."""
    machine = Machine()
    machine(ask(1, Kind.INDEX), ask(2, Kind.TRANSLATE), ask(3, Kind.CHAT), ask(4))
    assert numbers(machine.load(sequences=3)) == [("Start", 4), ("Start", 3), ("Start", 2)]
    assert numbers(machine(Stopped(4, Halt.DONE))) == [("End", 4), ("Start", 1)]


def test_within_a_class_the_promise_that_is_due_first_goes_first() -> None:
    """Whoever came later may be promised more."""
    machine = Machine()
    machine(
        ask(1, Kind.TRANSLATE, promise=Promise(whole_s=12)),
        ask(2, Kind.SUMMARISE, promise=Promise(whole_s=3)),
    )
    assert numbers(machine.load(sequences=4)) == [("Start", 2), ("Start", 1)]


def test_the_configured_cap_is_kept() -> None:
    """An engine may offer more sequences than the configuration allows."""
    machine = Machine(model(sequences=2))
    machine(ask(1), ask(2), ask(3))
    assert numbers(machine.load(sequences=8)) == [("Start", 1), ("Start", 2)]


def test_what_was_promised_something_leaves_a_sequence_for_keystrokes() -> None:
    """What was promised nothing may borrow it, and makes way: no sequence is idle."""
    machine = Machine()
    machine(ask(1, Kind.INDEX), ask(2, Kind.CHAT), ask(3, Kind.CHAT))
    assert numbers(machine.load(sequences=2)) == [("Start", 2), ("Start", 1)]
    assert numbers(machine(ask(4))) == [("Park", 1), ("Start", 4)]
    assert numbers(machine(Stopped(2, Halt.DONE))) == [("End", 2), ("Start", 3)]


def test_for_a_keystroke_the_least_urgent_is_parked() -> None:
    """The newcomer starts at once and waits in its engine; who made way waits again without an end."""
    machine = Machine()
    machine(ask(1, Kind.CHAT))
    machine.load(sequences=1)
    assert numbers(machine(ask(2))) == [("Park", 1), ("Start", 2)]
    assert machine(Stopped(1, Halt.PARKED)) == []
    assert numbers(machine(Stopped(2, Halt.DONE))) == [("End", 2), ("Start", 1)]


def test_background_work_makes_way_for_whatever_was_promised_something() -> None:
    """A guess makes way for it in turn; what was promised something makes way for keystrokes alone."""
    machine = Machine()
    machine(ask(1, Kind.INDEX), ask(2, Kind.INDEX), ask(3, Kind.INDEX))
    machine.load(sequences=3)
    assert numbers(machine(ask(4, Kind.CHAT))) == [("Park", 3), ("Start", 4)]
    assert numbers(machine(ask(5, Kind.TRANSLATE))) == [("Park", 2), ("Start", 5)]
    assert machine(ask(6, Kind.CHAT)) == []
    assert machine(ask(7, Kind.INDEX)) == []


def test_background_work_that_waited_too_long_has_a_turn() -> None:
    """It takes the next sequence that anybody leaves, and makes way for nobody until its turn is over."""
    machine = Machine(patience_s=60.0, turn_s=5.0)
    machine(ask(1, Kind.CHAT), ask(2, Kind.CHAT))
    machine.load(sequences=3)
    machine(ask(3, Kind.INDEX))
    machine(ask(4, Kind.INDEX), ask(5), ask(6, Kind.CHAT))
    machine.wait(61)
    assert numbers(machine(Stopped(5, Halt.DONE))) == [("End", 5), ("Start", 4)]
    assert numbers(machine(ask(7))) == [("Park", 2), ("Start", 7)]
    machine(Stopped(2, Halt.PARKED), Stopped(7, Halt.DONE))
    machine.wait(5)
    assert numbers(machine(ask(8))) == [("Park", 4), ("Start", 8)]


def test_to_be_parked_when_asked_to_make_way_is_no_setback() -> None:
    """It made way as it was asked to, however often; what was parked of it is no business of the scheduler's."""
    machine = Machine(setbacks_max=0)
    machine(ask(1, Kind.CHAT))
    machine.load(sequences=1)
    for number in (2, 3, 4):
        assert numbers(machine(ask(number))) == [("Park", 1), ("Start", number)]
        assert machine(Stopped(1, Halt.PARKED)) == []
        assert numbers(machine(Stopped(number, Halt.DONE))) == [("End", number), ("Start", 1)]


def test_one_is_parked_for_each_keystroke() -> None:
    """As long as there are lesser ones; more than twice the sequences are never in an engine's hands."""
    machine = Machine()
    machine(ask(1, Kind.CHAT), ask(2, Kind.INDEX))
    machine.load(sequences=2)
    assert numbers(machine(ask(3))) == [("Park", 2), ("Start", 3)]
    assert machine(Tick()) == []
    assert numbers(machine(ask(4))) == [("Park", 1), ("Start", 4)]
    assert machine(ask(5)) == []
    machine(Cancelled(3), Cancelled(4))
    assert numbers(machine(Stopped(2, Halt.PARKED))) == [("Start", 5)]


def test_a_speculative_request_that_makes_way_has_ended() -> None:
    """A guess that comes late is worth nothing."""
    machine = Machine()
    machine(ask(1, Kind.AHEAD))
    machine.load(sequences=1)
    yielded = End(1, Outcome.CANCELLED, Reason.YIELDED)
    actions = machine(ask(2))
    assert actions[:2] == [Stop(1, "m"), yielded]
    assert numbers(actions[2:]) == [("Start", 2)]


def test_done_may_cross_the_park() -> None:
    """The fact wins over the wish."""
    machine = Machine()
    machine(ask(1, Kind.CHAT))
    machine.load(sequences=1)
    machine(ask(2))
    assert numbers(machine(Stopped(1, Halt.DONE))) == [("End", 1)]


def test_withdrawn_while_queued() -> None:
    """It ends, and nothing is stopped."""
    machine = Machine()
    machine(ask(1))
    assert machine(Cancelled(1)) == [End(1, Outcome.CANCELLED, Reason.CLIENT)]
    assert machine(Cancelled(1)) == []
    assert machine.load() == []


def test_a_caller_that_has_enough_is_done() -> None:
    """Reading to the end of a block is no cancellation: it counts, with its latency, as done."""
    machine = Machine()
    machine(ask(1))
    machine.load()
    enough = End(1, Outcome.DONE, Reason.ENOUGH)
    assert machine(Cancelled(1, Reason.ENOUGH)) == [Stop(1, "m"), enough]


def test_withdrawn_while_running() -> None:
    """Its caller is answered at once, and the next starts: its engine lets it wait until the sequence is free."""
    machine = Machine()
    machine(ask(1))
    machine.load(sequences=1)
    machine(ask(2))
    actions = machine(Cancelled(1, Reason.STALE))
    assert actions[:2] == [Stop(1, "m"), End(1, Outcome.CANCELLED, Reason.STALE)]
    assert numbers(actions[2:]) == [("Start", 2)]
    assert machine(Stopped(1, Halt.DONE)) == []


def test_withdrawn_while_making_way() -> None:
    """It is not stopped as well, and does not wait again."""
    machine = Machine()
    machine(ask(1, Kind.CHAT))
    machine.load(sequences=1)
    machine(ask(2))
    assert machine(Cancelled(1)) == [End(1, Outcome.CANCELLED, Reason.CLIENT)]
    assert machine(Stopped(1, Halt.PARKED)) == []
    assert numbers(machine(Stopped(2, Halt.DONE))) == [("End", 2)]


def test_a_newer_completion_supersedes_a_queued_one() -> None:
    """In the same place of the same document of the same client."""
    machine = Machine()
    machine(ask(1, place=HERE))
    assert machine(ask(2, place=HERE)) == [End(1, Outcome.SUPERSEDED, Reason.NEWER)]


def test_a_newer_completion_supersedes_a_running_one() -> None:
    """And starts in the same breath."""
    machine = Machine()
    machine(ask(1, place=HERE))
    machine.load(sequences=1)
    actions = machine(ask(2, place=HERE))
    assert actions[:2] == [Stop(1, "m"), End(1, Outcome.SUPERSEDED, Reason.NEWER)]
    assert numbers(actions[2:]) == [("Start", 2)]


def test_a_clients_limit_ends_its_request() -> None:
    """Queued or running; an early tick is harmless."""
    machine = Machine()
    machine(ask(1, expires_s=2.0))
    machine.load()
    assert machine.scheduler.next_wakeup() == 2.0
    assert machine.wait(1.9)(Tick()) == []
    assert machine.wait(0.1)(Tick()) == [
        Stop(1, "m"),
        End(1, Outcome.CANCELLED, Reason.EXPIRED),
    ]
    assert machine.scheduler.next_wakeup() is None


def test_a_full_queue_drops_the_oldest_guess_first() -> None:
    """Then it refuses."""
    machine = Machine(queue_max=2)
    machine(ask(1, Kind.AHEAD), ask(2, Kind.CHAT))
    assert machine(ask(3)) == [End(1, Outcome.REFUSED, Reason.QUEUE_FULL)]
    assert machine(ask(4)) == [End(4, Outcome.REFUSED, Reason.QUEUE_FULL)]


def test_a_class_has_its_share_of_the_queue() -> None:
    """Over it others may still wait; a newer guess replaces the oldest."""
    machine = Machine(queue_class_max=1)
    machine(ask(1, Kind.CHAT), ask(2, Kind.AHEAD))
    assert machine(ask(3, Kind.CHAT)) == [End(3, Outcome.REFUSED, Reason.QUEUE_FULL)]
    assert machine(ask(4, Kind.AHEAD)) == [End(2, Outcome.REFUSED, Reason.QUEUE_FULL)]


def test_a_request_that_loses_its_sequence_too_often_fails() -> None:
    """An engine may give it back unasked so many times, then no more: everything has a limit."""
    machine = Machine(setbacks_max=1)
    machine(ask(1))
    machine.load()
    assert numbers(machine(Stopped(1, Halt.STOPPED))) == [("Start", 1)]
    assert machine(Stopped(1, Halt.STOPPED)) == [End(1, Outcome.FAILED, Reason.ENGINE)]


def test_what_the_engine_could_not_do_is_said() -> None:
    """The request's fault is a refusal, the engine's a failure."""
    machine = Machine()
    machine(ask(1), ask(2), ask(3))
    machine.load()
    assert machine(Stopped(1, Halt.INVALID, too_long=True)) == [
        End(1, Outcome.REFUSED, Reason.TOO_LONG)
    ]
    assert machine(Stopped(2, Halt.INVALID)) == [End(2, Outcome.REFUSED, Reason.INVALID)]
    assert machine(Stopped(3, Halt.FAILED)) == [End(3, Outcome.FAILED, Reason.ENGINE)]
