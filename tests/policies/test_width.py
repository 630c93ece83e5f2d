"""How many decoding rows one step has, by the times that were measured."""

import pytest

from policies.step_time import StepTimes
from policies.width import EXPLORE_STEPS, REFRESH_STEPS, best_width, free_width
from tests.policies.step_machine import measured, taught

TIMES = taught(measured)


def flat(rows: int, tokens_each: int) -> float:
    """A machine to which a few rows more are nothing."""
    return 0.01 + 1e-5 * rows * tokens_each


def width(count: int, times: StepTimes = TIMES, *, spare: int = 0, decodes: int = 1) -> int:
    return best_width(times, count=count, spare=spare, width_max=128, cells=0, decodes=decodes)


@pytest.mark.parametrize(
    ("count", "spare", "best"),
    [
        (1, 4, 1),
        (2, 4, 1),
        (3, 4, 1),
        (4, 4, 4),
        (7, 0, 7),
        (7, 1, 8),
        (9, 4, 8),
        (13, 2, 13),
        (13, 4, 16),
    ],
)
def test_the_width_is_what_serves_most_rows_a_second(count: int, spare: int, best: int):
    """Rule 3: three in turns, four at once, seven padded to eight, nine as eight, thirteen as sixteen."""
    assert width(count, spare=spare) == best


@pytest.mark.parametrize("count", range(1, 17))
def test_on_a_machine_to_which_rows_are_nothing_everybody_goes(count: int):
    assert width(count, taught(flat), spare=4) == count


def test_a_width_that_is_hardly_better_is_no_reason_to_leave_somebody_out():
    """Rule 3: within MARGIN of the best, all go."""
    nearly = {1: 0.0100, 2: 0.0205}
    assert width(2, taught(lambda rows, _each: nearly.get(rows, 1.0))) == 2


def test_a_width_never_exceeds_what_a_step_may_have():
    """Rules 1 and 3: neither unknown nor padded."""
    assert best_width(StepTimes(), count=9, spare=4, width_max=4, cells=0, decodes=1) == 4
    assert best_width(TIMES, count=7, spare=4, width_max=7, cells=0, decodes=1) == 7


def run(steps: int, count: int) -> list[int]:
    """The widths that a machine of which nothing is known goes in."""
    times, widths = StepTimes(), []
    for decodes in range(steps):
        widths.append(width(count, times, spare=8, decodes=decodes))
        times.observe(rows=widths[-1], tokens_each=1, duration_s=measured(widths[-1], 1))
    return widths


def test_widths_never_tried_are_tried_first_all_together():
    """Rules 1 and 2: each power of two twice, and most steps go in the best one."""
    widths = run(40 * EXPLORE_STEPS, count=4)
    assert widths[:2] == [4, 4]
    assert set(widths) == {1, 2, 4}
    assert widths.count(4) > 0.9 * len(widths)


def test_every_width_is_measured_again():
    """Rule 2: the one measured longest ago, so that after a while none of them is old."""
    later = run(20 * REFRESH_STEPS, count=4)[10 * REFRESH_STEPS :]
    assert set(later) == {1, 2, 4}


def test_a_wider_step_is_free_where_it_takes_hardly_longer():
    """Eight rows cost less than seven here; a second row beside one is not free."""
    assert free_width(TIMES, 7, 0, wider_max=8, wider_cells=0) == 8
    assert free_width(TIMES, 1, 0, wider_max=16, wider_cells=0) == 1
    assert free_width(taught(flat), 1, 0, wider_max=16, wider_cells=0) == 16
