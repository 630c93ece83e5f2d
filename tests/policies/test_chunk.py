"""How long the chunks are that may be broken off."""

import pytest

from policies.chunk import short_chunk
from policies.step_time import StepTimes


def taught(*costs: tuple[int, float]) -> StepTimes:
    """What a machine has learnt whose chunks of so many tokens take so many seconds."""
    times = StepTimes()
    for tokens, seconds in costs:
        for _ in range(4):
            times.observe(rows=1, tokens_each=tokens, duration_s=seconds)
    return times


@pytest.mark.parametrize(
    ("costs", "chunk"),
    [
        ({128: 0.538, 64: 0.235, 32: 0.135, 16: 0.096}, 64),
        ({128: 0.5, 64: 0.4, 32: 0.3, 16: 0.2}, 128),
        ({128: 0.4, 64: 0.2, 32: 0.1, 16: 0.05}, 16),
    ],
)
def test_the_shortest_that_reads_nearly_as_fast_as_the_best(costs: dict[int, float], chunk: int):
    """Rule 3: the first is what was measured on two cores, where 128 tokens together gain nothing over 64."""
    assert short_chunk(taught(*costs.items()), budget_tokens=128, cells=0, calm=True) == chunk


def tried(*, calm: bool) -> list[int]:
    """The first nine chunks of a machine that reads all sizes alike."""
    times, chunks = StepTimes(), []
    for _ in range(9):
        chunks.append(short_chunk(times, budget_tokens=128, cells=0, calm=calm))
        times.observe(rows=1, tokens_each=chunks[-1], duration_s=chunks[-1] * 0.004)
    return chunks


def test_each_size_is_tried_short_ones_first():
    """Rule 2: twice, as a first step of a size says little."""
    assert tried(calm=True) == [16, 16, 32, 32, 64, 64, 128, 128, 16]


def test_nothing_is_tried_while_steps_are_broken_off():
    """A long one might never end: what is known is enough."""
    assert tried(calm=False) == [16] * 9


def test_a_budget_of_a_few_tokens_has_few_halves():
    assert short_chunk(taught((2, 0.02)), budget_tokens=2, cells=0, calm=True) == 2
