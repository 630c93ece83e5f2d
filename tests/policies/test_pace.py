"""When a running step gives way."""

import pytest

from policies.pace import worth_aborting

ASKED = {
    "running_urgency": 1.0,
    "newcomer_urgency": 4.0,
    "elapsed_s": 0.1,
    "predicted_s": 0.4,
    "quantum_s": 0.05,
    "committed_since_abort": True,
}


def test_a_long_rest_of_lesser_work_gives_way():
    assert worth_aborting(**ASKED)


@pytest.mark.parametrize("urgency", [0.0, 1.0])
def test_nothing_gives_way_to_what_is_not_more_urgent(urgency: float):
    """Rule 1."""
    assert not worth_aborting(**ASKED | {"newcomer_urgency": urgency})


def test_nothing_gives_way_before_lesser_work_has_finished_a_step():
    """Rule 2 (ENGINE.md 11): else a completion every second would abort a long chunk for ever."""
    assert not worth_aborting(**ASKED | {"committed_since_abort": False})


@pytest.mark.parametrize(
    ("elapsed_s", "worth"), [(0.34, True), (0.36, False), (0.44, False), (0.46, True), (3.0, True)]
)
def test_a_rest_within_the_quantum_is_waited_for(elapsed_s: float, worth: bool):
    """Rule 3: and an overdue step is believed to be nearly over only while it is little overdue."""
    assert worth_aborting(**ASKED | {"elapsed_s": elapsed_s}) is worth
