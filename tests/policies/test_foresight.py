"""What is learnt of how models are used, and of what loading them takes."""

from __future__ import annotations

import pytest

from policies.foresight import CHANGES_MAX, Foresight, Habits, Order
from policies.reloads import COLD_TO_WARM, UNSEEN_S, Reloads
from policies.request import Class


def order_of(uses: str) -> Order:
    order = Order()
    for name in uses:
        order.used(name)
    return order


def test_a_cycle_is_learnt() -> None:
    """After `b` comes `c`, then `d`, then `a`, and only then `b` again: what LRU gets exactly wrong."""
    soon = order_of("abcd" * 4).soon("b")
    assert soon["c"] > soon["d"] > soon["a"] > soon["b"] > 0


def test_uses_in_a_row_are_one() -> None:
    """A hundred keystrokes do not say that the next use is a keystroke's."""
    assert order_of("aaaabbbbabab").soon("a") == order_of("ababab").soon("a")


def test_an_order_that_is_over_is_forgotten() -> None:
    """Only the last uses count."""
    soon = order_of("ab" * CHANGES_MAX + "ac" * CHANGES_MAX).soon("a")
    assert "b" not in soon
    assert soon["c"] == pytest.approx(0.8, abs=0.01)


def test_who_never_was_used_or_never_returns_is_worth_nothing() -> None:
    """A start that was never seen tells nothing; what only came before does not come again."""
    assert order_of("abc").soon("new") == {"a": 0, "b": 0, "c": 0}
    assert order_of("xabab").soon("a")["x"] == 0


def test_pauses_are_learnt() -> None:
    """One that is used every half minute is needed sooner than one used every half hour, however long ago."""
    often, seldom = Habits(), Habits()
    for turn in range(20):
        often.used(Class.FOREGROUND, 30.0 * turn)
        seldom.used(Class.FOREGROUND, 1800.0 * turn)
    assert often.soon(often.used_s + 10) > 2 * seldom.soon(seldom.used_s + 10)


def test_who_outlasts_its_pauses_is_not_expected() -> None:
    """It rested longer than it ever did: the longer, the less soon."""
    habits = Habits()
    for turn in range(20):
        habits.used(Class.FOREGROUND, 30.0 * turn)
    soon = [habits.soon(habits.used_s + idle_s) for idle_s in (1, 60, 600, 6000)]
    assert soon == sorted(soon, reverse=True)
    assert soon[-1] < 0.05
    assert Habits().soon(0) == 0


def test_the_past_fades() -> None:
    """How often, and for what, a model was used follows what it is used for now."""
    habits = Habits()
    for _ in range(40):
        habits.used(Class.BACKGROUND, 0.0)
    for _ in range(40):
        habits.used(Class.INTERACTIVE, 600.0)
    assert habits.uses(600.0) == pytest.approx(60)
    shares = dict(habits.classes())
    assert shares[Class.INTERACTIVE] > 0.8
    assert sum(shares.values()) == pytest.approx(1)


def test_all_models_are_learnt_of_at_once() -> None:
    """A use counts for the model's habits and for the order."""
    foresight = Foresight()
    for turn in range(6):
        foresight.used("ab"[turn % 2], Class.INTERACTIVE, 10.0 * turn)
    assert foresight.of("a").uses(50.0) > 2
    assert foresight.order.soon("a")["b"] == pytest.approx(0.8)


def test_cold_and_warm_loads_are_measured_apart() -> None:
    """A file is warm until the host has read too much since."""
    reloads = Reloads(host_bytes=10)
    assert reloads.expected_s("a") == UNSEEN_S
    reloads.loaded("a", file_bytes=6, load_s=6.0)
    assert reloads.expected_s("a") == 6.0 / COLD_TO_WARM
    reloads.loaded("a", file_bytes=6, load_s=1.0)
    assert reloads.expected_s("a") == 1.0
    reloads.loaded("b", file_bytes=5, load_s=5.0)
    assert not reloads.is_warm("a")
    assert reloads.expected_s("a") == 6.0
