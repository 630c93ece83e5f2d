"""Calls of a chain that know what their run has left keep more chains' promises, on the very same arrivals."""

from __future__ import annotations

from statistics import mean

import pytest

from tests.sim.chains import Way, play

SEEDS = range(3)
LOAD = 0.7


@pytest.mark.slow
def test_slack_that_passes_keeps_more_chains() -> None:
    """More than when each call has the promise of its class alone."""
    passing, unaware = (
        mean(play(seed, LOAD, way).chains for seed in SEEDS) for way in (Way.PASSING, Way.UNAWARE)
    )
    assert passing > unaware + 0.05


def test_the_same_seed_is_the_same_day() -> None:
    """Else the ways could not be compared seed by seed."""
    assert play(1, 0.5, Way.PASSING) == play(1, 0.5, Way.PASSING)
