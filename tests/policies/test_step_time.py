"""What steps cost, learnt from the steps that ran."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.step_time import PRIOR_S, StepTimes
from tests.policies.step_machine import measured, taught


def decode(times: StepTimes, rows: int, duration_s: float, *, count: int = 1) -> None:
    for _ in range(count):
        times.observe(rows=rows, tokens_each=1, duration_s=duration_s)


def decode_s(times: StepTimes, rows: int) -> float:
    return times.predict(rows=rows, tokens_each=1)


def chunk_s(times: StepTimes, tokens: int, *, cells: int = 0) -> float:
    return times.predict(rows=1, tokens_each=tokens, longest_cells=cells)


def test_before_any_step_tokens_are_thought_slow():
    """A first chunk is short rather than long: nothing is known of the machine."""
    assert chunk_s(StepTimes(), 7) == 7 * PRIOR_S


def test_sizes_that_were_measured_are_known_however_they_rise_and_fall():
    """Eight rows may cost less than seven: each small size has an entry of its own."""
    times = taught(measured)
    for rows in range(1, 21):
        assert decode_s(times, rows) == pytest.approx(measured(rows, 1), rel=0.01)
    assert decode_s(times, 8) < decode_s(times, 7)


def test_between_two_measured_sizes_lies_what_was_not():
    times = StepTimes()
    times.observe(rows=1, tokens_each=8, duration_s=0.05)
    times.observe(rows=1, tokens_each=24, duration_s=0.09)
    assert chunk_s(times, 16) == pytest.approx(0.07)


def test_beyond_the_ends_time_is_in_proportion():
    times = StepTimes()
    times.observe(rows=1, tokens_each=8, duration_s=0.04)
    times.observe(rows=1, tokens_each=16, duration_s=0.06)
    assert chunk_s(times, 4) == pytest.approx(0.02)
    assert chunk_s(times, 64) == pytest.approx(0.24)


def test_a_rectangle_of_prompts_costs_what_as_many_tokens_of_one_do():
    times = taught(measured)
    assert times.predict(rows=4, tokens_each=16) == chunk_s(times, 64)


def test_decode_steps_and_chunks_guess_for_each_other_until_measured():
    times = StepTimes()
    decode(times, 1, 0.02)
    assert chunk_s(times, 8) == pytest.approx(0.16)
    times.observe(rows=1, tokens_each=8, duration_s=0.05)
    assert chunk_s(times, 8) == pytest.approx(0.05)
    assert decode_s(times, 1) == pytest.approx(0.02)


def test_one_interrupted_step_misleads_a_little_and_not_for_long():
    """Ten times as long, once: 15 % at most, and 5 % five steps later."""
    times = StepTimes()
    decode(times, 4, 0.06, count=30)
    decode(times, 4, 0.6)
    assert decode_s(times, 4) < 0.06 * 1.15
    decode(times, 4, 0.06, count=5)
    assert decode_s(times, 4) == pytest.approx(0.06, rel=0.05)


def test_a_first_step_that_was_interrupted_is_corrected_by_the_second():
    """Steps are interrupted, never hurried: of the first two the quicker is believed."""
    times = StepTimes()
    decode(times, 4, 0.6)
    decode(times, 4, 0.06)
    assert decode_s(times, 4) == pytest.approx(0.06)
    assert times.tried(4)


def test_a_first_step_between_known_sizes_is_not_believed_beyond_twice_what_they_say():
    times = StepTimes()
    decode(times, 4, 0.06, count=5)
    decode(times, 6, 0.08, count=5)
    decode(times, 5, 0.7)
    assert decode_s(times, 5) == pytest.approx(0.14)


@pytest.mark.parametrize("factor", [1 / 3, 0.5, 2, 3])
def test_a_changed_machine_is_known_after_twenty_steps(factor: float):
    """Also for widths that were not run since: relative costs stay, the pace is shared."""
    times = taught(measured)
    decode(times, 1, measured(1, 1) * factor, count=20)
    assert decode_s(times, 1) == pytest.approx(measured(1, 1) * factor, rel=0.1)
    ratio = decode_s(times, 8) / measured(8, 1)
    assert abs(ratio - 1) > abs(factor - 1) / 2
    assert (ratio > 1) == (factor > 1)


def test_noise_does_not_hide_which_width_is_better():
    """10 % of noise and one step in a hundred interrupted: 8 rows still cost less than 7."""
    noise = random.Random(1)
    times = StepTimes()
    for _ in range(100):
        for rows in (7, 8):
            slow = 10 if noise.random() < 0.01 else 1
            decode(times, rows, measured(rows, 1) * noise.gauss(1, 0.1) * slow)
    assert decode_s(times, 7) > 1.15 * decode_s(times, 8)


def attending(rows: int, tokens_each: int, cells: int) -> float:
    """A machine on which each token pays 2 us for each cell."""
    return measured(rows, tokens_each) + 2e-6 * rows * tokens_each * cells


def test_the_price_of_a_long_cache_is_learnt_and_holds_for_other_sizes():
    """ENGINE.md 7: with conversations of different lengths behind it, a step is known for any length."""
    times = StepTimes()
    for _ in range(60):
        for cells in (100, 3000):
            for rows in (1, 4):
                duration_s = attending(rows, 1, cells)
                times.observe(rows=rows, tokens_each=1, longest_cells=cells, duration_s=duration_s)
    for rows, cells in ((1, 100), (4, 3000), (4, 1500)):
        predicted = times.predict(rows=rows, tokens_each=1, longest_cells=cells)
        assert predicted == pytest.approx(attending(rows, 1, cells), rel=0.05)


def test_a_cache_that_only_grows_teaches_no_price_out_of_noise():
    """One stream, a cell a step, 5 % of noise: 4,000 cells more are not thought to cost much."""
    noise = random.Random(2)
    times = StepTimes()
    for cells in range(300, 600):
        duration_s = 0.016 * noise.gauss(1, 0.05)
        times.observe(rows=1, tokens_each=1, longest_cells=cells, duration_s=duration_s)
    assert times.predict(rows=1, tokens_each=1, longest_cells=4500) < 0.016 * 1.3


@pytest.mark.parametrize("seconds", [0.0, 0.04, 0.1, 0.2, 5.0])
def test_what_fits_a_time_fits_and_one_token_more_does_not(seconds: float):
    """ENGINE.md 13: chunks are sized by the speed that was measured here."""
    times = taught(measured)
    fits = times.tokens_within(seconds, tokens_max=128)
    assert 0 <= fits <= 128
    assert fits == 0 or chunk_s(times, fits) <= seconds
    assert fits == 128 or chunk_s(times, fits + 1) > seconds


def test_behind_a_long_cache_less_fits():
    times = StepTimes()
    for cells in (100, 3000) * 60:
        duration_s = attending(1, 32, cells)
        times.observe(rows=1, tokens_each=32, longest_cells=cells, duration_s=duration_s)
    near = times.tokens_within(0.2, tokens_max=128, cells=50)
    assert times.tokens_within(0.2, tokens_max=128, cells=3000) < near


STEPS = st.tuples(
    st.integers(1, 40), st.integers(1, 300), st.integers(0, 9000), st.floats(1e-5, 60)
)


@given(st.lists(STEPS, max_size=60), STEPS)
def test_whatever_was_seen_a_prediction_is_a_time(seen: list[tuple], asked: tuple):
    """Positive and finite, and memory is bounded by the number of sizes."""
    times = StepTimes()
    for rows, each, cells, duration_s in seen:
        times.observe(rows=rows, tokens_each=each, longest_cells=cells, duration_s=duration_s)
    rows, each, cells, _ = asked
    assert 0 < times.predict(rows=rows, tokens_each=each, longest_cells=cells) < 1e7


def test_memory_is_bounded():
    """Above 32 tokens there are eight entries to a doubling."""
    times = StepTimes()
    for tokens in range(1, 4097):
        times.observe(rows=1, tokens_each=tokens, duration_s=tokens / 300)
    assert len(times._prefill.entries) <= 32 + 7 * 8 + 1
