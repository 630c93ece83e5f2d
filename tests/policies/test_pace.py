"""When a running step gives way, and how lesser work still gets on."""

import pytest

from policies.pace import Pace, worth_aborting
from policies.step import CHUNK_TOKENS_MIN

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


def test_a_pace_starts_at_the_budget_and_stays_there():
    assert Pace.start(128).chunk_tokens == 128
    assert Pace.start(128).after_chunk().chunk_tokens == 128
    assert Pace.start(128).committed


def test_after_an_abort_chunks_start_at_the_quantum_and_double():
    pace = Pace.start(128).after_abort(12)
    chunks = []
    for _ in range(5):
        chunks.append(pace.chunk_tokens)
        pace = pace.after_chunk()
    assert chunks == [12, 24, 48, 96, 128]


@pytest.mark.parametrize(("fits", "chunk"), [(0, CHUNK_TOKENS_MIN), (500, 128)])
def test_a_chunk_is_never_shorter_than_the_shortest_nor_longer_than_the_budget(
    fits: int, chunk: int
):
    assert Pace.start(128).after_abort(fits).chunk_tokens == chunk


def test_a_step_of_either_kind_commits_and_only_a_chunk_doubles():
    aborted = Pace.start(128).after_abort(16)
    assert not aborted.committed
    assert aborted.after_decode() == Pace(128, 16, committed=True)
    assert aborted.after_chunk() == Pace(128, 32, committed=True)
