"""What the parts of Hearth are worth, as far as one short day can say it without doubt."""

from __future__ import annotations

import pytest

from tests.sim.ablation import COLUMNS, VARIANTS, Case, interval, play, table

ASKED_S = 30.0
STREAMS = 6


def day(name: str, **facts) -> dict[str, float]:
    return play(VARIANTS[name], 1, streams=STREAMS, asked_s=ASKED_S, **facts)


@pytest.mark.slow
def test_beside_background_work_a_keystroke_is_answered_at_once_only_by_hearth() -> None:
    """First come, first served lets it wait for answers of 200 tokens."""
    hearth, fcfs = day("hearth", check=True), day("static (fcfs)", check=True)
    assert hearth["type95"] < fcfs["type95"] / 5
    assert hearth["kept T"] > fcfs["kept T"]


@pytest.mark.slow
def test_who_makes_way_without_being_parked_is_evaluated_again() -> None:
    """So less background work is done."""
    hearth, forgetful = day("hearth"), day("no parking")
    assert forgetful["evaluated"] > hearth["evaluated"]
    assert forgetful["bg/s"] < hearth["bg/s"]


@pytest.mark.slow
def test_what_nobody_waits_for_any_more_is_in_the_way() -> None:
    """Completions that were typed past hold up the next ones where they are not superseded."""
    assert day("hearth")["type95"] < day("no supersede")["type95"] / 3


@pytest.mark.slow
def test_two_models_share_the_device() -> None:
    """A step beside another model's takes longer, and background work that rests for keystrokes gives time back."""
    both, never = day("hearth", models=2), day("no pausing", models=2)
    assert both["type50"] > 0
    assert both["type50"] < never["type50"]


def test_the_interval_of_a_mean() -> None:
    """Ten values of 0 and 2: the mean is 1, and Student's t for nine degrees is 2.26."""
    mean, half = interval([0.0, 2.0] * 5)
    assert mean == 1.0
    assert half == pytest.approx(2.26 * (10 / 9) ** 0.5 / 10**0.5)


def test_the_table_has_a_row_for_each_case() -> None:
    """Figures come from the run that is given: here none is played."""
    cases = [Case("hearth", 0, 1), Case("priority", 0, 1)]
    told = table(
        cases, 2, lambda _measure, rows, _seeds: [dict.fromkeys(COLUMNS, 7.0) for _ in rows]
    )
    assert [line.split()[0] for line in told.splitlines()[-2:]] == ["hearth", "priority"]
