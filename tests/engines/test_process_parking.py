"""Parking through true workers: what was computed outlives the worker, and a restore repeats no prefill (ENGINE.md 18)."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from engines import devices
from engines.engine import Died, Job, Loaded, Parked, Plain, Sampling, Stopped, Unloaded
from engines.process import ProcessEngine
from engines.shelf import Shelf
from engines.spec import ModelSpec
from policies.messages import Halt
from tests.engines.hearing import EMBEDDED, Answer, Hearing
from tests.engines.lives import is_over

pytestmark = pytest.mark.slow

PROMPT = Plain("".join(f"value_{n} = compute({n})\n" for n in range(30)))
LONG = Sampling(ignore_eos=True)
LIMIT = 64 * 2**20
SEQUENCES = ModelSpec("tiny", "").sequences


def play(rungs_file: Path, scene, shelf: Shelf) -> None:
    """Run a scene with a loaded engine that parks on this shelf; nothing is left on it but what the scene keeps."""

    async def run() -> None:
        hearing = Hearing()
        spec = ModelSpec("tiny", str(EMBEDDED), rungs_file=str(rungs_file))
        hearing.engine = ProcessEngine(spec, hearing.receive, devices.build_name, shelf)
        hearing.engine.load()
        try:
            assert isinstance(await hearing.loaded(), Loaded), hearing.frames[-1]
            await scene(hearing)
        finally:
            hearing.engine.kill()

    asyncio.run(run())


async def park(hearing: Hearing, number: int, tokens: int = 5) -> Answer:
    """Run a request until it has some tokens, and park it."""
    hearing.engine.submit(Job(number, PROMPT, 400, LONG))
    await hearing.emitted(number, tokens)
    hearing.engine.park(number)
    return await hearing.answer(number)


def resumed(number: int, before: Answer, tokens_max: int) -> Job:
    parked = before.stopped.parked
    sent = tuple(before.tokens)
    return Job(number, PROMPT, tokens_max, LONG, sent=sent, parked=parked and parked.handle)


async def reload(hearing: Hearing) -> None:
    at = len(hearing.frames)
    hearing.engine.load()
    assert isinstance(await hearing.until(is_over, start=at), Loaded)


async def killed(hearing: Hearing) -> None:
    at = len(hearing.frames)
    os.kill(hearing.engine.pid, signal.SIGKILL)
    assert isinstance(await hearing.until(is_over, start=at), Died)


def test_a_parked_request_goes_on_in_another_worker_without_a_prefill(rungs_file):
    """Its writer was killed; the text is that of a request that was never parked."""
    shelf = Shelf(LIMIT)

    async def scene(hearing: Hearing) -> None:
        before = await park(hearing, 1)
        assert before.stopped.halt == Halt.PARKED
        parked = before.stopped.parked
        assert parked.size_bytes == shelf.kept_bytes
        assert parked.tokens >= before.stopped.timings.prompt_tokens
        await killed(hearing)
        assert len(shelf) == 1, "the blank has gone with its worker"
        await reload(hearing)
        tokens_max = len(before.tokens) + 20
        after = await hearing.ask(resumed(2, before, tokens_max))
        assert after.stopped.halt == Halt.DONE
        assert after.stopped.timings.cached_tokens >= after.stopped.timings.prompt_tokens - 1
        assert shelf.find(parked.handle) is None, "it is used up"
        await killed(hearing)
        await reload(hearing)
        whole = await hearing.ask(Job(3, PROMPT, tokens_max, LONG))
        assert whole.stopped.timings.cached_tokens == 0
        assert before.tokens + after.tokens == whole.tokens

    play(rungs_file, scene, shelf)
    assert len(shelf) == 0


def test_what_outgrew_the_shelf_is_computed_again(rungs_file):
    """Losing parked KV costs a prefill, never the answer: before the save, after it, and when the handle is old."""
    shelf = Shelf(10_000)

    async def scene(hearing: Hearing) -> None:
        for number in (1, 3):
            before = await park(hearing, number)
            assert (before.stopped.halt, before.stopped.parked) == (Halt.PARKED, None)
            after = await hearing.ask(resumed(number + 1, before, len(before.tokens) + 3))
            assert after.stopped.halt == Halt.DONE
        answer = await hearing.ask(Job(5, PROMPT, 3, LONG, parked=77))
        assert answer.stopped.halt == Halt.DONE

    play(rungs_file, scene, shelf)
    assert len(shelf) == 0


def test_each_request_that_is_parked_gets_memory_of_its_own(rungs_file):
    """A worker's pocket is filled again each time; over the limit the oldest go."""
    shelf = Shelf(LIMIT)

    async def scene(hearing: Hearing) -> None:
        answers = [await park(hearing, number) for number in range(1, 5)]
        handles = [answer.stopped.parked.handle for answer in answers]
        assert len(set(handles)) == 4
        assert len(shelf) == 4 + SEQUENCES
        assert shelf.kept_bytes == sum(answer.stopped.parked.size_bytes for answer in answers)
        for handle in handles:
            shelf.drop(handle)

    play(rungs_file, scene, shelf)
    assert len(shelf) == 0


def test_all_who_run_can_be_parked_at_once(rungs_file):
    """A model that must leave is not waited for: nobody's KV is lost because another's was parked a moment before."""
    shelf = Shelf(LIMIT)

    async def scene(hearing: Hearing) -> None:
        numbers = range(1, SEQUENCES + 1)
        for number in numbers:
            hearing.engine.submit(Job(number, PROMPT, 400, LONG))
            await hearing.emitted(number, 1)
        for number in numbers:
            hearing.engine.park(number)
        parked = [(await hearing.stopped(number)).parked for number in numbers]
        assert None not in parked
        for each in parked:
            shelf.drop(each.handle)

    play(rungs_file, scene, shelf)
    assert len(shelf) == 0


def test_parking_what_is_over_or_unknown_says_nothing(rungs_file):
    """`Stopped` comes once, whatever crossed what."""
    shelf = Shelf(LIMIT)

    async def scene(hearing: Hearing) -> None:
        await hearing.ask(Job(1, PROMPT, 2))
        hearing.engine.park(1)
        hearing.engine.park(99)
        hearing.engine.submit(Job(2, PROMPT, 300, LONG))
        hearing.engine.park(2)
        hearing.engine.stop(2)
        await hearing.stopped(2)
        await hearing.ask(Job(3, PROMPT, 2))
        stops = [frame.request_id for frame in hearing.frames if isinstance(frame, Stopped)]
        assert stops == [1, 2, 3]

    play(rungs_file, scene, shelf)


def test_jobs_that_end_before_they_are_restored_leave_no_memory_behind(rungs_file):
    """Withdrawn while they wait: the worker lets go of what it was lent."""
    shelf = Shelf(LIMIT)

    async def scene(hearing: Hearing) -> None:
        worker = psutil.Process(hearing.engine.pid)
        await park(hearing, 1)
        await hearing.ask(Job(400, Plain("x"), 1))  # the next blank has been read by now
        open_before = worker.num_fds()
        for number in range(2, 12):
            before = await park(hearing, number)
            hearing.engine.submit(resumed(number + 100, before, 300))
            hearing.engine.stop(number + 100)
            await hearing.stopped(number + 100)
        await hearing.ask(Job(500, Plain("x"), 1))
        assert worker.num_fds() <= open_before

    play(rungs_file, scene, shelf)
    assert len(shelf) == 1


def test_a_workers_word_is_not_taken_for_what_it_parked(rungs_file):
    """Neither for a handle that it was not handed, nor for one that it has not filled."""
    shelf = Shelf(LIMIT)

    async def scene(hearing: Hearing) -> None:
        theirs = (await park(hearing, 1)).stopped.parked.handle
        blank = theirs + 1
        for number, handle in ((2, theirs), (3, 99), (4, blank)):
            hearing.engine._pass_on(Stopped(number, Halt.PARKED, parked=Parked(handle, 9, 10**12)))
            assert (await hearing.stopped(number)).parked is None
        assert shelf.find(theirs) is not None
        assert shelf.find(blank) is None
        assert len(shelf) == 1 + SEQUENCES, "what it parked, and blanks"
        answer = await hearing.ask(Job(5, PROMPT, 2))
        assert answer.stopped.halt == Halt.DONE
        shelf.drop(theirs)

    play(rungs_file, scene, shelf)
    assert len(shelf) == 0


def test_a_worker_that_is_unloaded_leaves_what_was_parked(rungs_file):
    """The shelf is the daemon's."""
    shelf = Shelf(LIMIT)

    async def scene(hearing: Hearing) -> None:
        await park(hearing, 1)
        assert len(shelf) == 1 + SEQUENCES
        hearing.engine.unload()
        await hearing.until(lambda frame: isinstance(frame, Unloaded))
        assert len(shelf) == 1

    play(rungs_file, scene, shelf)
