"""What goes into the next step: rows in, shares out. The numbers are those of the rules in policies/step.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.step import (
    CHUNK_TOKENS_MIN,
    PROMPT_TURN,
    TURN_STEPS,
    Row,
    Share,
    Step,
    Turns,
    plan,
)
from policies.step_time import StepTimes
from tests.policies.step_machine import measured, taught

LOW, MIDDLE, HIGH = 1.0, 3.0, 4.0
TIMES = taught(measured)
SETTLED = Turns(decodes=1)
"""Neither the first step nor one that explores."""


def stream(number: int, urgency: float = LOW, **facts: float) -> Row:
    return Row(number, 1, decoding=True, urgency=urgency, **facts)


def prompt(number: int, tokens: int, urgency: float = LOW, **facts: float) -> Row:
    return Row(number, tokens, decoding=False, urgency=urgency, **facts)


def step(rows: list[Row], **terms) -> Step:
    given_terms = {
        "budget_tokens": 128,
        "times": TIMES,
        "quantum_s": 0.05,
        "can_abort": True,
        "idle_rows": 0,
        "turns": SETTLED,
    }
    return plan(rows, **(given_terms | terms))


def ids(chosen: Step) -> list[int]:
    return [share.id for share in chosen.shares]


def flat(rows: int, tokens_each: int) -> float:
    """A machine to which a few rows more are nothing."""
    return 0.01 + 1e-5 * rows * tokens_each


def test_without_rows_a_step_is_empty():
    assert step([]) == Step((), turns=SETTLED)


# --- 1, 2 -------------------------------------------------------------------------------------------


def test_who_must_run_alone_shares_its_step_with_nobody():
    """Rule 1: of two such the first is taken; not even a pad is beside it."""
    rows = [stream(1), prompt(2, 10, alone=True), stream(3, alone=True)]
    assert step(rows, idle_rows=4).shares == (Share(2, 10),)
    lonely = step([*(stream(n) for n in range(6)), stream(9, alone=True)], idle_rows=4)
    assert (lonely.shares, lonely.pads) == ((Share(9, 1),), 0)


def test_prompts_go_by_urgency_then_slack_then_number():
    """Rule 2."""
    rows = [
        prompt(3, 50, slack_s=1.0),
        prompt(1, 60, slack_s=2.0),
        prompt(2, 70, urgency=HIGH),
        prompt(4, 80, slack_s=1.0),
    ]
    order = []
    while rows:
        order += ids(step(rows))
        rows = [row for row in rows if row.id not in order]
    assert order == [2, 3, 4, 1]


# --- 3, 4, 5 ----------------------------------------------------------------------------------------


def test_an_urgent_prompt_goes_before_streams_that_were_promised_nothing():
    """Rule 3: its whole prompt in one step, and again after a chunk."""
    rows = [stream(1), stream(2), prompt(3, 200, HIGH)]
    assert step(rows).shares == (Share(3, 128),)
    assert ids(step(rows, turns=Turns(prefilled=True, decodes=1))) == [3]


def test_an_urgent_prompt_leaves_a_stream_time_for_its_token():
    """Rule 3: what the stream has waited, the chunk and the decode step behind it stay within its pause."""
    row = stream(1, MIDDLE, gap_s=0.25, waited_s=0.1)
    (share,) = step([row, prompt(2, 200, HIGH)]).shares
    after_s = 0.1 + measured(1, share.tokens) + measured(1, 1)
    one_more_s = 0.1 + measured(1, share.tokens + 1) + measured(1, 1)
    assert share.id == 2
    assert after_s <= 0.25 < one_more_s


def test_when_a_pause_is_used_up_a_decode_step_comes_between_two_chunks():
    """Rule 3; after it the prompt goes on, be it by the shortest chunk."""
    rows = [stream(1, MIDDLE, gap_s=0.25, waited_s=0.24), prompt(2, 100, HIGH)]
    between = step(rows, turns=Turns(prefilled=True, decodes=1))
    assert between.shares == (Share(1, 1),)
    assert step(rows, turns=between.turns).shares == (Share(2, CHUNK_TOKENS_MIN),)


def test_a_promise_that_no_step_can_keep_does_not_hold_up_what_is_more_urgent():
    """Rule 3: where decoding alone takes longer than the pause, the prompt need not go in crumbs."""
    rows = [stream(1, MIDDLE, gap_s=0.01), prompt(2, 100, HIGH)]
    assert step(rows).shares == (Share(2, 100),)


def test_equals_take_turns_step_by_step():
    """Rule 4: a decode step, a chunk, a decode step."""
    rows = [stream(1), stream(2), prompt(3, 500)]
    turns, order = SETTLED, []
    for _ in range(4):
        chosen = step(rows, turns=turns)
        turns = chosen.turns
        order.append(chosen.shares[0].tokens)
    assert order == [128, 1, 128, 1]


def test_an_equal_prompt_gets_what_the_promised_pause_allows():
    """Rule 4: 0.25 s less one decode step is room for about 70 tokens here, not for 128."""
    (share,) = step([stream(1, MIDDLE, gap_s=0.25), prompt(2, 500, MIDDLE)]).shares
    assert share.id == 2
    assert 60 <= share.tokens <= 80


def test_a_lesser_prompt_waits_for_its_turn_and_costs_no_more_than_the_quantum():
    """Rule 5: 50 ms is not even the shortest chunk here, and that is what it gets, once in TURN_STEPS steps."""
    rows = [stream(1, HIGH), prompt(2, 500)]
    turns, order = SETTLED, []
    for _ in range(2 * TURN_STEPS):
        chosen = step(rows, turns=turns)
        turns = chosen.turns
        order.append(chosen.shares[0])
    assert order.count(Share(2, CHUNK_TOKENS_MIN)) == 2
    assert order[PROMPT_TURN] == Share(2, CHUNK_TOKENS_MIN)


def test_a_lesser_prompt_may_use_the_pause_that_was_promised():
    """Rule 5."""
    rows = [stream(1, MIDDLE, gap_s=0.25), prompt(2, 500)]
    (share,) = step(rows, turns=Turns(held_back=PROMPT_TURN, decodes=1)).shares
    assert share.id == 2
    assert measured(1, share.tokens) + measured(1, 1) <= 0.25


def test_lesser_rows_come_once_in_so_many_steps():
    """Rule 5: 8 rows together are cheaper than 7 here, so that the urgent one comes along."""
    rows = [stream(1, HIGH), *(stream(n) for n in range(2, 9))]
    turns, widths = SETTLED, []
    for _ in range(2 * (TURN_STEPS + 1)):
        chosen = step(rows, turns=turns)
        turns = chosen.turns
        widths.append(len(chosen.shares))
    assert widths == 2 * [*[1] * TURN_STEPS, 8]


def test_where_rows_are_fastest_one_by_one_a_turn_is_the_lesser_rows_own():
    """Rule 5: three together take longer than three times one here."""
    rows = [stream(1, HIGH), stream(2, HIGH), stream(3)]
    assert ids(step(rows, turns=Turns(held_back=TURN_STEPS, decodes=1))) == [3]


def test_what_ran_alone_was_not_held_back():
    """Rule 5: a prompt that had the machine to itself does not interrupt the next completion at once."""
    before = Turns(held_back=PROMPT_TURN - 1, decodes=1)
    assert step([prompt(2, 500)], turns=before).turns.held_back == 0
    beside = step([prompt(1, 50, HIGH), prompt(2, 500)], turns=before)
    assert beside.turns.held_back == PROMPT_TURN - 1


def test_a_lesser_row_whose_pause_is_nearly_over_comes_earlier():
    """Rule 5: alone if that is cheapest, and in every second step at most."""
    rows = [stream(1, HIGH), stream(2, MIDDLE, gap_s=0.25, waited_s=0.24), stream(3)]
    turns, order = Turns(held_back=1, decodes=1), []
    for _ in range(4):
        chosen = step(rows, turns=turns)
        turns = chosen.turns
        order.append(ids(chosen))
    assert order == [[1], [2], [1], [2]]


# --- 6, 7 -------------------------------------------------------------------------------------------


def test_a_chunk_that_can_be_aborted_is_as_short_as_it_may_be_at_full_speed():
    """Rule 6: but one that somebody waits for, or that nothing can interrupt, takes the whole budget."""
    assert step([prompt(1, 500, slack_s=60.0)]).shares == (Share(1, 64),)
    assert step([prompt(1, 500, slack_s=1.5)]).shares == (Share(1, 128),)
    assert step([prompt(1, 500, HIGH)]).shares == (Share(1, 128),)


def test_after_an_abort_its_like_is_short_and_whoever_it_was_for_is_not():
    """Rule 6, ENGINE.md 11: what was broken off makes a step of the quantum first, which is not broken off."""
    turns = SETTLED.after_abort(LOW)
    assert step([prompt(1, 500)], turns=turns).shares == (Share(1, CHUNK_TOKENS_MIN),)
    assert step([prompt(1, 500, MIDDLE)], turns=turns).shares == (Share(1, 128),)
    assert step([prompt(1, 500)], turns=turns.after_step(MIDDLE)).shares[0].tokens <= 12
    assert step([prompt(1, 500)], turns=turns.after_step(LOW)).shares == (Share(1, 64),)


def test_a_chunk_that_cannot_be_aborted_fits_the_quantum():
    """Rule 6, ENGINE.md 12: lesser work respects the quantum too, and a chunk is never shorter than the shortest."""
    (share,) = step([prompt(1, 500)], can_abort=False, quantum_s=0.1).shares
    assert measured(1, share.tokens) == pytest.approx(0.1, abs=0.004)
    assert step([prompt(1, 500)], can_abort=False, quantum_s=0.001).shares == (
        Share(1, CHUNK_TOKENS_MIN),
    )
    assert step([prompt(1, 500, HIGH)], can_abort=False).shares == (Share(1, 128),)


def test_short_prompts_of_one_length_go_together():
    """Rule 7: ten times twelve tokens are one step of 120."""
    rows = [prompt(n, 12) for n in range(10)]
    assert step(rows).shares == tuple(Share(n, 12) for n in range(10))


def test_prompts_go_together_only_as_far_as_the_budget_reaches():
    rows = [prompt(n, 12) for n in range(12)]
    assert len(step(rows).shares) == 10


def test_long_prompts_of_one_length_go_one_by_one():
    """Rule 7: two times 60 tokens take as long as 60 and 60, and the first would wait for the second."""
    assert step([prompt(1, 60), prompt(2, 60)]).shares == (Share(1, 60),)


def test_a_lesser_prompt_of_the_same_length_does_not_come_along():
    rows = [prompt(1, 12, HIGH), *(prompt(n, 12) for n in range(2, 10))]
    assert step(rows).shares == (Share(1, 12),)


# --- 8, 9 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "width", "pads"), [(3, 1, 0), (7, 7, 1), (9, 8, 0)])
def test_streams_go_in_the_width_that_is_fastest(count: int, width: int, pads: int):
    """Rule 8, by the measured table: three in turns, seven padded to eight, nine as eight."""
    chosen = step([stream(n) for n in range(count)], idle_rows=4)
    assert (len(chosen.shares), chosen.pads) == (width, pads)


def test_turns_go_round():
    """Rule 8: who decoded longest ago is next, so that everybody has as many tokens as the others."""
    rows = [stream(n) for n in range(9)]
    turns, served = SETTLED, dict.fromkeys(range(9), 0)
    for _ in range(90):
        chosen = step(rows, turns=turns)
        turns = chosen.turns
        for share in chosen.shares:
            served[share.id] += 1
    assert max(served.values()) - min(served.values()) <= 1


def test_lesser_rows_come_along_where_they_cost_nothing():
    """Rule 9: they do on such a machine; where seven more make the step four times as long they do not."""
    rows = [stream(1, HIGH), *(stream(n) for n in range(2, 9))]
    assert len(step(rows, times=taught(flat)).shares) == 8
    assert ids(step(rows)) == [1]


def test_nobody_comes_along_where_a_narrower_step_is_tried():
    """Rules 8 and 9: else that width would never be known."""
    times = StepTimes()
    for _ in range(2):
        times.observe(rows=1, tokens_each=1, duration_s=0.01)
        times.observe(rows=4, tokens_each=1, duration_s=0.01)
    rows = [*(stream(n, HIGH) for n in range(4)), stream(4), stream(5)]
    assert len(step(rows, times=times, turns=Turns()).shares) == 2


def test_lesser_rows_are_taken_before_idle_ones():
    """Rule 9: seven urgent rows are padded to eight by one that has something to say."""
    rows = [*(stream(n, HIGH) for n in range(7)), stream(7), stream(8)]
    chosen = step(rows, idle_rows=4)
    assert (ids(chosen), chosen.pads) == ([*range(8)], 0)


# --- always -----------------------------------------------------------------------------------------

FACTS = {
    "urgency": st.sampled_from([0.0, LOW, MIDDLE, HIGH]),
    "slack_s": st.floats(0, 60),
    "gap_s": st.sampled_from([0.01, 0.25, 60.0]),
    "waited_s": st.floats(0, 2),
    "alone": st.sampled_from([False, False, False, True]),
    "cells": st.integers(0, 4000),
    "id": st.integers(1, 20),
}
ROWS = st.lists(
    st.builds(Row, waiting_tokens=st.integers(1, 300), decoding=st.just(False), **FACTS)
    | st.builds(Row, waiting_tokens=st.just(1), decoding=st.just(True), **FACTS),
    unique_by=lambda row: row.id,
    min_size=1,
    max_size=20,
)
TERMS = st.fixed_dictionaries(
    {
        "budget_tokens": st.integers(1, 256),
        "times": st.sampled_from([StepTimes(), TIMES, taught(flat)]),
        "quantum_s": st.sampled_from([0.0, 0.05, 1.0]),
        "can_abort": st.booleans(),
        "idle_rows": st.integers(0, 6),
        "turns": st.builds(
            Turns,
            prefilled=st.booleans(),
            held_back=st.integers(0, TURN_STEPS),
            decodes=st.integers(0, 200),
            order=st.permutations(range(1, 21)).map(tuple),
        ),
    }
)


@given(ROWS, TERMS)
def test_a_step_is_a_rectangle_within_its_budget(rows: list[Row], terms: dict):
    """It is never empty, gives nobody more than waits, and mixes neither decoding with prompts nor who is alone."""
    chosen = plan(rows, **terms)
    by_id = {row.id: row for row in rows}
    members = [by_id[share.id] for share in chosen.shares]
    each = chosen.shares[0].tokens
    assert len({row.id for row in members}) == len(members) >= 1
    assert {share.tokens for share in chosen.shares} == {each}
    assert each <= min(row.waiting_tokens for row in members)
    assert (len(members) + chosen.pads) * each <= terms["budget_tokens"]
    assert 0 <= chosen.pads <= (terms["idle_rows"] if members[0].decoding else 0)
    assert len({row.decoding for row in members}) == 1
    if any(row.alone for row in rows):
        assert len(members) == 1
        assert members[0].alone
        assert chosen.pads == 0


@given(ROWS, TERMS)
def test_a_plan_is_a_question(rows: list[Row], terms: dict):
    """Asked twice it says the same: it changes nothing."""
    assert plan(rows, **terms) == plan(rows, **terms)
