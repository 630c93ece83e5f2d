"""What every engine keeps of a pause: lesser work rests, loses nothing, and is never starved (ENGINE.md 12)."""

import asyncio
from itertools import dropwhile

import pytest

from engines.engine import Job, Loaded, Plain, Stepped, Stopped, Unloaded
from policies.messages import Halt
from tests.engines.contract import LONG, ON, engines, play
from tests.engines.hearing import Hearing

pytestmark = pytest.mark.slow

BELOW = 3.0
FOR_EVER_S = 1000.0
"""Until a step is due of what rests: no test lasts so long."""
PROGRESS_S = 0.05
TOKENS = 600
"""More than it gets before the pause."""


def lesser(number: int, tokens_max: int = TOKENS) -> Job:
    return Job(number, Plain(LONG), tokens_max, ON)


async def paused(hearing: Hearing, *jobs: Job, progress_s: float = FOR_EVER_S) -> list[Stepped]:
    """Pause beside jobs that run, and serve something urgent; return the steps from its first token on.

    The pause was heard before the urgent job was: none of those steps may hold anybody else.
    """
    for job in jobs:
        hearing.engine.submit(job)
        await hearing.emitted(job.request_id, 3)
    hearing.engine.pause(BELOW, progress_s)
    urgent = await hearing.ask(Job(99, Plain("x = "), 20, ON, urgency=9.0))
    assert urgent.stopped.timings.emitted_tokens == 20
    steps = [f for f in hearing.frames if isinstance(f, Stepped)]
    return list(dropwhile(lambda step: 99 not in inside(step), steps))


def inside(step: Stepped) -> set[int]:
    return {given.request_id for given in step.emitted}


@engines
def test_what_is_less_urgent_rests_and_what_is_urgent_runs_to_its_end(make, rungs_file):
    """No step while the urgent job decodes holds the lesser one, and none follows until the pause is over."""

    async def scene(hearing: Hearing) -> None:
        steps = await paused(hearing, lesser(1))
        assert [inside(step) for step in steps] == [{99}] * 20
        tokens = hearing.answer_so_far(1)[0]
        await hearing.ask(Job(98, Plain("y = "), 20, ON, urgency=BELOW))
        assert hearing.answer_so_far(1)[0] == tokens

    play(make, rungs_file, scene)


@engines
def test_what_rested_goes_on_as_if_it_never_had(make, rungs_file):
    """Its greedy text is the same, and nothing was evaluated twice."""

    async def scene(hearing: Hearing) -> None:
        await paused(hearing, lesser(1))
        hearing.engine.unpause()
        rested = await hearing.answer(1)
        whole = await hearing.ask(lesser(2))
        assert len(rested.tokens) == TOKENS
        assert (rested.tokens, rested.text) == (whole.tokens, whole.text)

    play(make, rungs_file, scene)


@engines
def test_what_comes_during_a_pause_rests_as_well(make, rungs_file):
    """It is prepared, and nothing of its prompt is evaluated until the pause is over."""

    async def scene(hearing: Hearing) -> None:
        hearing.engine.pause(BELOW, FOR_EVER_S)
        hearing.engine.submit(lesser(1, 5))
        urgent = await hearing.ask(Job(99, Plain("x = "), 20, ON, urgency=9.0))
        steps = [f for f in hearing.frames if isinstance(f, Stepped)]
        assert sum(f.prefilled_tokens for f in steps) == urgent.prepared.prompt_tokens
        hearing.engine.unpause()
        assert len((await hearing.answer(1)).tokens) == 5

    play(make, rungs_file, scene)


@engines
def test_a_step_of_what_rests_comes_now_and_then(make, rungs_file):
    """Though the pause never ends: one step in each time that it was promised, and no more."""

    async def scene(hearing: Hearing) -> None:
        await paused(hearing, lesser(1), progress_s=PROGRESS_S)
        count = len(hearing.answer_so_far(1)[0])
        began_s = asyncio.get_running_loop().time()
        await hearing.emitted(1, count + 4)
        assert asyncio.get_running_loop().time() - began_s > 2 * PROGRESS_S

    play(make, rungs_file, scene)


@engines
def test_what_rests_can_be_taken_back_at_once(make, rungs_file):
    """Stopped or parked: neither waits for a step."""

    async def scene(hearing: Hearing) -> None:
        await paused(hearing, lesser(1), lesser(2))
        hearing.engine.stop(1)
        assert (await hearing.stopped(1)).halt == Halt.STOPPED
        hearing.engine.park(2)
        parked = await hearing.stopped(2)
        assert parked.halt == Halt.PARKED
        assert parked.parked is not None

    play(make, rungs_file, scene)


@engines
def test_a_load_forgets_the_pause(make, rungs_file):
    """Nobody is left who would end it."""

    async def scene(hearing: Hearing) -> None:
        hearing.engine.pause(BELOW, FOR_EVER_S)
        hearing.engine.unload()
        await hearing.until(lambda f: isinstance(f, Unloaded))
        at = len(hearing.frames)
        hearing.engine.load()
        await hearing.until(lambda f: isinstance(f, Loaded), start=at)
        hearing.engine.submit(lesser(1, 5))
        stopped = await hearing.until(lambda f: isinstance(f, Stopped), start=at)
        assert stopped.halt == Halt.DONE

    play(make, rungs_file, scene)
