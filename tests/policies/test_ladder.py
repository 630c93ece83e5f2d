"""What a call gives up when its time does not suffice: one row a rung."""

from __future__ import annotations

import pytest

from policies.ladder import Concession, Option, Rung, rung_for

LARGE = Option("large", first_s=1.0, token_s=0.1)
SMALL = Option("small", first_s=0.5, token_s=0.02)


@pytest.mark.parametrize(
    ("left_s", "given"),
    [
        (11.0, Concession(Rung.NOTHING, "large", 100)),
        (10.9, Concession(Rung.TOKENS, "large", 99)),
        (5.05, Concession(Rung.TOKENS, "large", 40)),  # the least that an answer needs
        (4.9, Concession(Rung.MODEL, "small", 100)),
        (2.0, Concession(Rung.MODEL, "small", 75)),
        (1.0, Concession(Rung.PROMISE, "large", 100)),
        (-3.0, Concession(Rung.PROMISE, "large", 100)),
    ],
)
def test_the_least_is_given_up(left_s: float, given: Concession) -> None:
    """Tokens that the answer will hardly need, then the better model, then the promise; never the call."""
    assert rung_for(left_s, [LARGE, SMALL], tokens_min=40, tokens_max=100) == given


def test_without_another_model_the_promise_is_next() -> None:
    """Only resident models are options: loading one costs more than any call has to spare."""
    given = rung_for(3.0, [LARGE], tokens_min=40, tokens_max=100)
    assert given == Concession(Rung.PROMISE, "large", 100)


def test_what_its_caller_allows_is_never_exceeded() -> None:
    """Even where answers of its kind are usually longer."""
    given = rung_for(1.5, [LARGE], tokens_min=40, tokens_max=5)
    assert given == Concession(Rung.NOTHING, "large", 5)
