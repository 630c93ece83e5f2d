"""Curves through measured speeds, against what the SABER paper published."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.curves import rising, scalability_law, solve
from policies.estimators import Usl
from policies.speed import Load, decode_per_s

PUBLISHED = {
    1: 94.95, 2: 92.7, 3: 91.71, 4: 90.58, 5: 89.12, 6: 87.34, 7: 86.33, 8: 85.4, 9: 83.72,
    10: 82.48, 20: 63.26, 30: 58.54, 40: 51.99, 50: 48.58, 60: 44.98,
}  # fmt: skip
"""Tokens a second of each request, by how many were active."""
POINTS = [(load, 1 / speed, load) for load, speed in PUBLISHED.items()]
"""255 requests were measured: as many at each load as were active in it."""

SIZED = st.dictionaries(st.integers(1, 60), st.floats(1e-4, 10), min_size=1, max_size=20)


def explained(curve) -> float:
    """The share of the speeds' variance that a curve explains, over the 255 requests."""
    mean = sum(PUBLISHED[load] * load for load in PUBLISHED) / 255
    left = sum(load * (v - 1 / curve.at(load)) ** 2 for load, v in PUBLISHED.items())
    return 1 - left / sum(load * (v - mean) ** 2 for load, v in PUBLISHED.items())


def test_the_published_speeds_give_the_published_constants():
    """a = 102.55, s = 0.0300, k = -0.000146, R^2 = 0.9922."""
    curve = scalability_law(POINTS)
    speed = 1 / curve.c0
    assert speed == pytest.approx(102.549, abs=0.01)
    assert curve.c1 * speed == pytest.approx(0.029956, abs=1e-5)
    assert curve.c2 * speed == pytest.approx(-0.000146, abs=1e-6)
    assert explained(curve) == pytest.approx(0.9922, abs=1e-4)


def test_without_the_square_a_little_less_is_explained():
    """With k held at 0 or above, R^2 = 0.983 as ALGORITHMS.md found."""
    assert explained(scalability_law(POINTS, terms=2)) == pytest.approx(0.983, abs=1e-3)


def test_a_curve_that_turns_is_known_to():
    """The published law is right where it was measured, and wrong from 103 requests on."""
    curve = scalability_law(POINTS)
    assert curve.rises(1, 60)
    assert not curve.rises(1, 110)


def test_points_that_do_not_determine_a_curve_give_none():
    """Two loads are no parabola; one is a constant."""
    two = POINTS[:2]
    assert scalability_law(two) is None
    assert scalability_law(two, terms=2).at(2) == pytest.approx(1 / 92.7)
    assert scalability_law(POINTS[:1], terms=1).at(5) == pytest.approx(1 / 94.95)


@given(SIZED)
def test_a_rising_table_rises_and_keeps_the_mean(seconds: dict[int, float]):
    """Pools are weighted means, so the weighted sum stays; what rose already is not touched."""
    points = [(size, value, 1 + size % 3) for size, value in sorted(seconds.items())]
    table = rising(points)
    levels = [level for _, level in table]
    assert levels == sorted(levels)
    weights = {size: weight for size, _, weight in points}
    total = sum(value * weights[size] for size, value, _ in points)
    assert sum(level * weights[size] for size, level in table) == pytest.approx(total)
    assert rising([(size, level, 1) for size, level in table]) == table


def test_a_system_is_solved_or_refused():
    assert solve([[4, 2, 10], [2, 3, 9]]) == pytest.approx([1.5, 2.0])
    assert solve([[1, 1, 2], [1, 1, 2]]) is None


def test_the_papers_estimator_learns_it_from_steps():
    """Ten steps of each load: 52.2 tokens a second at 40, and beyond 60 requests as at 60."""
    estimator = Usl()
    for _ in range(10):
        for load, speed in PUBLISHED.items():
            estimator.observe(Load(sequences=load), 1 / speed)
    published = 102.549 / (1 + 0.029956 * 40 - 0.000146 * 40**2)
    assert decode_per_s(estimator, 40) == pytest.approx(published, rel=1e-3)
    assert decode_per_s(estimator, 200) == decode_per_s(estimator, 60)
