"""Breaking off a step of lesser work (ENGINE.md 9 to 12), on real llama.cpp with two threads."""

import itertools
import threading
import time

import pytest

from engines.engine import Job, Plain, Sampling, Stepped
from engines.interrupt import Interrupt
from engines.llama import Context, Model
from policies.messages import Halt
from policies.planner import Planned
from policies.step import Share, Step
from tests.engines.native import SOURCE, Bench, Ticks, make_context

pytestmark = pytest.mark.slow

ROUNDS_MAX = 2000


@pytest.fixture
def context(model: Model) -> Context:
    return make_context(model, cells=2048, sequences=3)


def long_prompt(bench: Bench) -> list[int]:
    return (bench.model.tokenize(SOURCE) * 30)[:1900]


class Presser(threading.Thread):
    """Another thread, as intake is: hurries a step as soon as one runs, until it was broken off."""

    def __init__(self, bench: Bench, urgency: float) -> None:
        super().__init__(daemon=True)
        self.bench, self.urgency = bench, urgency
        self.over = threading.Event()
        self.aborted = False

    def run(self) -> None:
        while not self.over.is_set() and not self.aborted:
            self.aborted = self.bench.batcher.hurry(self.urgency)


def pressed_step(bench: Bench, urgency: float) -> tuple[list, bool]:
    """Take a step while another thread hurries; say what it told and whether it was broken off."""
    presser = Presser(bench, urgency)
    presser.start()
    told = bench.step()
    presser.over.set()
    presser.join()
    return told, presser.aborted


def warmed(model: Model, context: Context) -> Bench:
    """A bench that has seen some steps, so that it predicts how long one takes; its quantum is nothing."""
    bench = Bench(model, context, quantum_s=0.0)
    bench.clock = bench.batcher._clock = bench.batcher._interrupt._clock = time.monotonic
    bench.submit_tokens(Job(1, Plain(""), 4, Sampling(ignore_eos=True)), long_prompt(bench))
    for _ in range(4):
        bench.step()
    return bench


def evaluated(bench: Bench) -> int:
    return sum(f.prefilled_tokens for f in bench.frames if isinstance(f, Stepped))


def test_an_interrupted_prefill_goes_on_where_it_stopped(model: Model, context: Context):
    """ENGINE.md 10, 11: aborts lose at most the chunk they hit; every token is evaluated once, and the answer is right."""
    calm = Bench(model, context)
    calm.submit_tokens(Job(1, Plain(""), 4, Sampling(ignore_eos=True)), long_prompt(calm))
    calm.run()
    bench, aborts = warmed(model, context), 0
    for _ in range(ROUNDS_MAX):
        if not bench.batcher.busy:
            break
        before = evaluated(bench)
        told, aborted = pressed_step(bench, urgency=9.0)
        aborts += aborted
        if aborted and not told:
            assert evaluated(bench) == before
        bench.check_ledger()
    assert aborts > 0
    assert evaluated(bench) == 1900
    assert bench.tokens(1) == calm.tokens(1)
    assert bench.stopped(1).halt == Halt.DONE


def test_lesser_work_goes_on_however_often_it_is_broken_off(model: Model, context: Context):
    """ENGINE.md 11: between two aborts at least one step of it is committed, so it ends."""
    bench = warmed(model, context)
    broken = []
    for _ in range(ROUNDS_MAX):
        if not bench.batcher.busy:
            break
        told, _ = pressed_step(bench, urgency=9.0)  # a flag may come when all is through already
        broken.append(not told)
    assert bench.stopped(1).halt == Halt.DONE
    assert any(broken)
    assert not any(a and b for a, b in itertools.pairwise(broken))


def test_nobody_breaks_off_what_is_as_urgent(model: Model, context: Context):
    """A newcomer of the same urgency waits for the step."""
    bench = warmed(model, context)
    assert not any(pressed_step(bench, urgency=0.0)[1] for _ in range(5))


def test_a_flag_outside_a_step_breaks_off_nothing(context: Context):
    """The lock's reason: what is raised late must not hit the next step, which may hold unturned keys."""
    interrupt = Interrupt(context, quantum_s=0.0, clock=Ticks())
    planned = Planned(Step((Share(1, 8),)), urgency=0.0, predicted_s=5.0)
    assert not interrupt.hurry(9.0)
    interrupt.begin(planned, 0.0, committed=True)
    assert interrupt.hurry(9.0)
    interrupt.end()
    assert not interrupt.hurry(9.0)
    interrupt.begin(planned, 0.0, committed=False)
    assert not interrupt.hurry(9.0)
    interrupt.end()


def test_who_comes_between_plan_and_step_breaks_it_off(model: Model, context: Context):
    """ENGINE.md 12: its letter was not read when the step was planned, and planning may restore a long cache first."""
    bench = warmed(model, context)
    assert bench.batcher.aboard() == (1,)
    bench.batcher.hurry(9.0)
    assert bench.step() == []
    assert bench.step(), "the one after is not"
    bench.check_ledger()


def test_who_came_before_the_plan_breaks_off_nothing(model: Model, context: Context):
    """Its letter was read: it is in the plan, or has left again."""
    bench = warmed(model, context)
    bench.batcher.hurry(9.0)
    assert bench.batcher.aboard() == (1,)
    assert bench.step()


def test_the_time_from_flag_to_return_is_short(model: Model, context: Context):
    """ENGINE.md 9: the processor's backend asks at every node. (How short is measured in tests/bench.)"""
    bench = warmed(model, context)
    context.abort()
    assert bench.step() == [], "broken off before anything was through"
    context.resume()
    bench.run()
    assert bench.stopped(1).halt == Halt.DONE
