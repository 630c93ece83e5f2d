"""How long answers are expected to be."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.lengths import SEEN_MIN, Lengths
from policies.request import Kind

CHAT, COMPLETE = Kind.CHAT, Kind.COMPLETE


def of(*answers: int) -> Lengths:
    lengths = Lengths()
    for tokens in answers:
        lengths.observe(CHAT, tokens)
    return lengths


def test_before_enough_answers_were_seen_the_limit_is_expected():
    few = of(*[10] * (SEEN_MIN - 1))
    assert few.expected(CHAT, tokens_max=500) == 500
    assert of(*[10] * 20).expected(COMPLETE, tokens_max=500) == 500


def test_nine_in_ten_answers_are_not_longer():
    """Of lengths from 1 to 400, a bin (a root of 2) more than 360 at most."""
    roll = random.Random(1)
    lengths = of(*(roll.randint(1, 400) for _ in range(400)))
    assert 300 <= lengths.expected(CHAT, tokens_max=10_000) <= 360 * 2**0.5


def test_the_limit_bounds_it_and_a_token_is_always_to_come():
    lengths = of(*[100] * 20)
    assert lengths.expected(CHAT, tokens_max=64) == 64
    assert lengths.expected(CHAT, tokens_max=64, produced=64) == 1


def test_who_has_written_more_than_most_is_compared_with_who_did_too():
    """Ninety answers of 10 tokens and ten of 300: at 50 tokens it is one of the ten; at 400 it is like nobody."""
    lengths = of(*[10] * 45, *[300] * 10, *[10] * 45)
    assert lengths.expected(CHAT, tokens_max=1000) <= 12
    assert lengths.expected(CHAT, tokens_max=1000, produced=50) == pytest.approx(312, abs=1)
    assert lengths.expected(CHAT, tokens_max=1000, produced=400) == 600


def test_habits_change():
    """A hundred short answers after a thousand long ones: short ones are expected."""
    lengths = of(*[800] * 1000, *[20] * 150)
    assert lengths.expected(CHAT, tokens_max=1000) <= 22


@given(st.lists(st.integers(0, 1 << 24), max_size=60), st.integers(1, 4096), st.integers(0, 4096))
def test_an_expectation_is_possible(answers: list[int], tokens_max: int, produced: int):
    """At least one token, at most what is left of the limit."""
    expected = of(*answers).expected(CHAT, tokens_max=tokens_max, produced=produced)
    assert 1 <= expected <= max(1, tokens_max - produced)
