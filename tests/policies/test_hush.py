"""What rests while a pause lasts, and that it never starves."""

from dataclasses import replace

import pytest

from policies.hush import Hush
from policies.planner import Planner
from policies.step import Row

LESSER, EQUAL, URGENT = 0.0, 3.0, 4.0
PAUSED = Hush().paused(below=EQUAL, progress_s=2.0, now=10.0)


def test_without_a_pause_everything_goes_on() -> None:
    assert Hush().allows(LESSER, 0.0)
    assert PAUSED.unpaused().allows(LESSER, 10.0)
    assert Hush().stepped(LESSER, 5.0) == Hush()


@pytest.mark.parametrize(("urgency", "allowed"), [(LESSER, False), (EQUAL, True), (URGENT, True)])
def test_only_what_is_less_urgent_rests(urgency: float, allowed: bool) -> None:
    """Rule 1."""
    assert PAUSED.allows(urgency, 11.0) is allowed


def test_a_step_of_what_rests_is_due_now_and_then() -> None:
    """Rule 2: after the pause began, then after each such step; more urgent steps are none of them."""
    assert PAUSED.due_s == 12.0
    assert not PAUSED.allows(LESSER, 11.9)
    assert PAUSED.allows(LESSER, 12.0)
    assert PAUSED.stepped(EQUAL, 12.5).due_s == 12.0
    assert PAUSED.stepped(LESSER, 12.5).due_s == 14.5


def test_pauses_in_a_row_count_as_one() -> None:
    """Rule 3: each keystroke may bring a pause, and lesser work still has its turn."""
    hush = PAUSED
    for now in (10.5, 11.0, 11.5):
        hush = hush.unpaused().paused(below=EQUAL, progress_s=2.0, now=now)
    assert hush.due_s == 12.0
    assert (
        hush.unpaused().stepped(EQUAL, 11.6).paused(below=1.0, progress_s=5.0, now=13.0).due_s
        == 15.0
    )


def test_a_pause_after_a_step_counts_anew() -> None:
    """Rule 3: what had its turn between two pauses can rest for the whole of the next."""
    between = PAUSED.unpaused().stepped(LESSER, 20.0)
    assert between.paused(below=EQUAL, progress_s=2.0, now=21.0).due_s == 23.0


# --- the planner --------------------------------------------------------------------------------------

ROWS = [
    Row(1, waiting_tokens=1, decoding=True, urgency=LESSER, cells=9),
    Row(2, waiting_tokens=1, decoding=True, urgency=URGENT, cells=9),
]


def planner() -> Planner:
    """It can break off steps, and knows that a token takes ten milliseconds."""
    made = Planner(budget_tokens=128, quantum_s=0.1, can_abort=True)
    urgent = Row(9, waiting_tokens=64, decoding=False, urgency=URGENT)
    planned = made.next([urgent], idle_rows=0, now=0.0)
    assert planned.tokens_each == 64
    made.ran(planned, rows=1, duration_s=0.64, now=0.0)
    return made


def ids(made: Planner, rows: list[Row], now: float) -> list[int]:
    return [share.id for share in made.next(rows, idle_rows=0, now=now).shares]


def test_rows_that_rest_are_in_no_step() -> None:
    """What is left of the rows is planned as if they were not there; with nobody left the step is empty."""
    made = planner()
    made.pause(below=EQUAL, progress_s=2.0, now=1.0)
    assert ids(made, ROWS, 1.5) == [2]
    assert ids(made, ROWS[:1], 1.5) == []
    made.unpause()
    assert ids(made, ROWS[:1], 1.5) == [1]


def test_a_step_that_ran_puts_the_next_one_off() -> None:
    """Whoever of those that rest was in it."""
    made = planner()
    made.pause(below=EQUAL, progress_s=2.0, now=1.0)
    assert made.due_s == 3.0
    made.ran(made.next(ROWS[1:], idle_rows=0, now=2.0), rows=1, duration_s=0.1, now=2.1)
    assert made.due_s == 3.0
    made.ran(made.next(ROWS[:1], idle_rows=0, now=3.0), rows=1, duration_s=0.1, now=3.1)
    assert made.due_s == 5.1


def test_an_aborted_step_puts_nothing_off() -> None:
    """It was no step: what is due stays due."""
    made = planner()
    made.pause(below=EQUAL, progress_s=2.0, now=1.0)
    made.aborted(made.next(ROWS[:1], idle_rows=0, now=0.5))
    assert made.due_s == 3.0


def test_the_step_that_is_due_is_short() -> None:
    """ENGINE.md 12: nobody will break it off for what runs in another worker, so it fits the quantum."""
    prompt = replace(ROWS[0], waiting_tokens=128, decoding=False)
    made = planner()
    assert made.next([prompt], idle_rows=0, now=1.0).tokens_each == 128
    made.pause(below=EQUAL, progress_s=2.0, now=1.0)
    short = made.next([prompt], idle_rows=0, now=3.0)
    assert short.tokens_each <= 10
    assert short.predicted_s <= 0.1
