"""A paused batcher: what it steps, and how long its thread may sleep."""

import pytest

from engines.engine import Job, Plain, Sampling
from engines.llama import Model
from tests.engines.native import SOURCE, Bench, make_context

pytestmark = pytest.mark.slow

ON = Sampling(ignore_eos=True)
BELOW, PROGRESS_S = 3.0, 100.0


@pytest.fixture
def bench(model: Model) -> Bench:
    """Two sequences, and a job of urgency 0 that has decoded a little."""
    made = Bench(model, make_context(model, sequences=2), running_max=2)
    made.submit(Job(1, Plain(SOURCE), 40, ON))
    for _ in range(8):
        made.step()
    assert made.tokens(1)
    return made


def test_with_nothing_inside_only_mail_is_waited_for(model: Model):
    """Also while a pause lasts."""
    bench = Bench(model, make_context(model, sequences=1))
    assert bench.batcher.rest_s is None
    bench.batcher.pause(BELOW, PROGRESS_S)
    assert bench.batcher.rest_s is None


def test_what_rests_is_waited_for_until_a_step_of_it_is_due(bench: Bench):
    """The thread sleeps that long, makes one step, and sleeps again."""
    assert bench.batcher.rest_s == 0
    bench.batcher.pause(BELOW, PROGRESS_S)
    assert bench.batcher.aboard() == ()
    assert bench.step() == []
    for _ in range(2):
        assert PROGRESS_S - 1 < bench.batcher.rest_s <= PROGRESS_S
        count = len(bench.tokens(1))
        bench.clock.now += PROGRESS_S
        assert bench.batcher.rest_s == 0
        assert bench.batcher.aboard() == (1,)
        bench.step()
        assert len(bench.tokens(1)) == count + 1
        assert bench.step() == []
    bench.batcher.unpause()
    assert bench.batcher.rest_s == 0
    bench.run()
    assert len(bench.tokens(1)) == 40


def test_an_urgent_job_that_finds_no_sequence_lets_the_thread_sleep(bench: Bench):
    """Who makes way for it is not the engine's to say; meanwhile it must not spin."""
    bench.submit(Job(2, Plain(SOURCE), 4, ON))
    bench.step()
    bench.batcher.pause(BELOW, PROGRESS_S)
    bench.submit(Job(3, Plain("x = "), 2, ON, urgency=9.0))
    assert bench.step() == []
    assert bench.batcher.rest_s > 0
    bench.batcher.stop(2)
    assert bench.batcher.rest_s == 0
    bench.step()
    assert bench.tokens(3)


def test_a_lesser_job_is_given_no_sequence_during_a_pause(bench: Bench):
    """Giving it one moves its cache about, which takes the cores as a step does."""
    bench.batcher.pause(BELOW, PROGRESS_S)
    bench.submit(Job(2, Plain(SOURCE), 4, ON))
    assert bench.step() == []
    assert list(bench.batcher._waiting) == [2]
    bench.batcher.unpause()
    bench.run()
    assert len(bench.tokens(2)) == 4
