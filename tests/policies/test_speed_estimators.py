"""What every estimator must do, on machines that are made up."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.estimators import Line, Table, Usl
from policies.messages import Stepped
from policies.regression import Regression
from policies.speed import (
    CHUNK_TOKENS,
    Estimator,
    Load,
    best_width,
    decode_per_s,
    first_token_s,
    load_of,
    prefill_s,
    whole_s,
)
from policies.step_model import StepModel
from tests.policies.step_machine import measured

ALL = [Usl, Line, Table, Regression, StepModel]
EVERY = pytest.mark.parametrize("make", ALL)
TOKEN_S = 0.004
"""A prompt token on the made-up machine."""


def decode_step_s(sequences: int) -> float:
    """A machine that follows the law: 40 ms for one, 5 ms and a little more for each further."""
    return 0.035 + 0.005 * sequences + 0.00003 * sequences**2


def decode(estimator: Estimator, sequences: int, duration_s: float, *, count: int = 1) -> None:
    for _ in range(count):
        estimator.observe(Load(sequences=sequences), duration_s)


def taught(make, *, loads=range(1, 17), slower: float = 1.0, count: int = 10) -> Estimator:
    """An estimator that has seen each load, and chunks of some sizes."""
    estimator = make()
    for _ in range(count):
        for load in loads:
            decode(estimator, load, slower * decode_step_s(load))
        for tokens in (16, 64, CHUNK_TOKENS):
            estimator.observe(Load(prefill_tokens=tokens), slower * tokens * TOKEN_S)
    return estimator


def error(estimator: Estimator, sequences: int, slower: float = 1.0) -> float:
    predicted = estimator.step_s(Load(sequences=sequences))
    return abs(math.log(predicted / (slower * decode_step_s(sequences))))


@EVERY
def test_a_machine_is_learnt(make):
    """Within 3 % at every load."""
    estimator = taught(make)
    assert max(error(estimator, load) for load in range(1, 17)) < 0.03
    assert estimator.step_s(Load(prefill_tokens=100)) == pytest.approx(100 * TOKEN_S, rel=0.05)
    assert not estimator.drifted


@EVERY
def test_before_any_step_an_answer_is_there_and_slow(make):
    """Finite, above 0, and slower with more."""
    estimator = make()
    assert 0 < decode_per_s(estimator, 8) < decode_per_s(estimator, 1) <= 100
    assert 0 < prefill_s(estimator, 10) < prefill_s(estimator, 1000) < math.inf


@EVERY
def test_noise_averages_out(make):
    """15 % of noise a step: within less than that at every load, and it is no drift."""
    noise = random.Random(1)
    estimator = make()
    for _ in range(1500):
        load = noise.randint(1, 8)
        decode(estimator, load, decode_step_s(load) * noise.gauss(1, 0.15))
    assert max(error(estimator, load) for load in range(1, 9)) < 0.15
    assert not estimator.drifted


@EVERY
def test_a_step_that_was_interrupted_misleads_little(make):
    """Twenty times as long, once: 15 % at most, 5 % twenty steps later, and it is no drift."""
    estimator = taught(make)
    decode(estimator, 4, 20 * decode_step_s(4))
    assert error(estimator, 4) < 0.15
    assert not estimator.drifted
    decode(estimator, 4, decode_step_s(4), count=20)
    assert error(estimator, 4) < 0.05


@EVERY
@pytest.mark.parametrize("slower", [1 / 3, 3.0])
def test_a_changed_machine_is_noticed_and_known_soon(make, slower: float):
    """Drift is known after eight steps; after forty at two loads, so is the speed there and at others."""
    estimator = taught(make)
    for step in range(40):
        load = (2, 6)[step % 2]
        decode(estimator, load, slower * decode_step_s(load))
        if step == 7:
            assert estimator.drifted
    assert max(error(estimator, load, slower) for load in (2, 6)) < 0.15
    assert max(error(estimator, load, slower) for load in (1, 4, 8)) < 0.25
    for _ in range(40):
        for load in (2, 6):
            decode(estimator, load, slower * decode_step_s(load))
    assert not estimator.drifted


@EVERY
def test_a_load_never_seen_lies_between_its_neighbours(make):
    estimator = taught(make, loads=(1, 2, 4, 8))
    assert decode_per_s(estimator, 8) < decode_per_s(estimator, 6) < decode_per_s(estimator, 4)
    assert error(estimator, 6) < 0.05


@pytest.mark.parametrize("make", [Usl, Line, Table])
def test_curves_are_held_within_what_was_measured(make):
    """The published law turns upwards beyond its data: nobody may ask it there."""
    estimator = taught(make, loads=(2, 4, 8))
    assert decode_per_s(estimator, 500) == decode_per_s(estimator, 8)
    assert decode_per_s(estimator, 1) == decode_per_s(estimator, 2)


def test_beyond_what_was_measured_the_step_model_is_careful():
    """More requests share what was reached: nobody is promised a speed that was never seen."""
    estimator = taught(StepModel, loads=(1, 2, 4))
    assert decode_per_s(estimator, 8) == pytest.approx(decode_per_s(estimator, 4) / 2)


STEPS = st.tuples(st.integers(0, 300), st.integers(0, 40), st.floats(1e-5, 60))


@EVERY
@given(steps=st.lists(STEPS, max_size=40))
def test_speeds_are_positive_and_never_grow_with_the_load(make, steps: list[tuple]):
    """Whatever was seen, in whatever order: f is positive and does not rise on 1..Lmax."""
    estimator = make()
    for tokens, sequences, duration_s in steps:
        estimator.observe(Load(tokens, sequences), duration_s)
    speeds = [decode_per_s(estimator, sequences) for sequences in range(1, 49)]
    assert all(0 < speed < math.inf for speed in speeds)
    assert all(more <= less * (1 + 1e-9) for less, more in itertools.pairwise(speeds))
    assert 0 < estimator.step_s(Load(prefill_tokens=50)) < math.inf


@EVERY
def test_equal_steps_give_equal_answers(make):
    """No chance and no clock."""
    one, other = taught(make), taught(make)
    assert [one.step_s(Load(sequences=n)) for n in range(1, 30)] == [
        other.step_s(Load(sequences=n)) for n in range(1, 30)
    ]


@EVERY
def test_steps_of_no_work_or_no_time_say_nothing(make):
    estimator = taught(make)
    before = estimator.step_s(Load(sequences=3))
    estimator.observe(Load(), 5.0)
    estimator.observe(Load(sequences=3), 0.0)
    assert estimator.step_s(Load(sequences=3)) == before


def test_a_load_is_counted_once():
    """The newcomer is one of those asked for: beside three it is the fourth, and not the seventh."""
    estimator = taught(Table)
    assert decode_per_s(estimator, 4) == pytest.approx(1 / decode_step_s(4), rel=0.01)
    decoding_s = whole_s(estimator, 0, 11, beside=3) - first_token_s(estimator, 0, beside=3)
    assert decoding_s == pytest.approx(10 * decode_step_s(4), rel=0.01)


def test_the_daemons_view_of_a_step():
    """As many decode as were given a token; a chunk that ended a prompt is a chunk."""
    decoded = Stepped("m", ((1, 1), (2, 1)), 0, 0.05, 700)
    assert load_of(decoded) == Load(sequences=2, cells=700)
    assert load_of(Stepped("m", ((3, 1),), 64, 0.3, 700)).prefill_tokens == 64


def test_what_is_in_the_cache_costs_nothing():
    estimator = taught(StepModel)
    assert prefill_s(estimator, 0, beside=4) == 0
    assert first_token_s(estimator, 0) == pytest.approx(first_token_s(estimator, 1))
    assert first_token_s(estimator, 0) < first_token_s(estimator, 500) / 10


def test_a_prompt_beside_others_waits_for_their_steps():
    """Three chunks, and a decode step for each; before less urgent ones it waits for none."""
    estimator = taught(StepModel)
    alone_s = prefill_s(estimator, 3 * CHUNK_TOKENS)
    beside_s = prefill_s(estimator, 3 * CHUNK_TOKENS, beside=5)
    assert alone_s == pytest.approx(3 * CHUNK_TOKENS * TOKEN_S, rel=0.01)
    assert beside_s == pytest.approx(alone_s + 3 * decode_step_s(5), rel=0.01)
    assert prefill_s(estimator, 3 * CHUNK_TOKENS, beside=5, turns=0) == alone_s


def test_requests_decode_in_turns_where_that_is_quicker():
    """Two rows take more than twice what one takes: each gets half of one's speed, as the worker serves them."""
    estimator = StepModel()
    for rows in (1, 2, 4):
        decode(estimator, rows, measured(rows, 1), count=5)
    assert measured(2, 1) > 2 * measured(1, 1)
    assert decode_per_s(estimator, 2) == pytest.approx(0.5 / measured(1, 1))
    assert best_width(estimator, 2)[0] == 1


def test_a_wider_step_that_is_shorter_can_be_padded():
    """Seven rows take longer than eight: a worker adds an idle one."""
    estimator = StepModel()
    for rows in (7, 8):
        decode(estimator, rows, measured(rows, 1), count=5)
    assert estimator.step_s(Load(sequences=7)) == estimator.step_s(Load(sequences=8))


def test_memory_is_bounded():
    """Any number of requests a step: a few hundred entries at most."""
    estimator = Table()
    for sequences in range(1, 5000):
        decode(estimator, sequences, 0.01)
    assert len(estimator._decode.points()) <= 256
