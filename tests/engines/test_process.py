"""The life and death of a worker process: whatever happens to it, it ends in one frame (ENGINE.md 22)."""

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from engines.engine import (
    Died,
    Emitted,
    Job,
    Loaded,
    Plain,
    Sampling,
    Stopped,
)
from engines.wire import FRAME_BYTES_MAX
from policies.messages import Halt
from tests.engines.hearing import EMBEDDED, Hearing
from tests.engines.lives import is_over, play

pytestmark = pytest.mark.slow

GONE_S_MAX = 2.0
LONG = Sampling(ignore_eos=True)


def exited(pid: int, seconds: float) -> bool:
    """Wait for the end of a process that need not be a child of ours."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


# --- death ---------------------------------------------------------------------------------------


def test_a_death_in_mid_stream_names_who_was_inside_and_load_works_again(rungs_file):
    """ENGINE.md 22: a worker's death is an event; the requests of its last step may be to blame."""

    async def scene(hearing: Hearing) -> None:
        hearing.engine.submit(Job(1, Plain("a = 1\n"), 700, LONG))
        hearing.engine.submit(Job(2, Plain("b = 2\n"), 700, LONG))
        await hearing.emitted(1, 3)
        await hearing.emitted(2, 3)
        os.kill(hearing.engine.pid, signal.SIGKILL)
        died = await hearing.until(is_over, start=hearing.frames.index(await hearing.loaded()) + 1)
        assert isinstance(died, Died)
        assert set(died.inside) == {1, 2}
        assert "SIGKILL" in died.detail
        at = len(hearing.frames)
        hearing.engine.load()
        assert isinstance(await hearing.until(is_over, start=at), Loaded)
        answer = await hearing.ask(Job(3, Plain("c = "), 2))
        assert answer.stopped.halt == Halt.DONE

    play(rungs_file, scene)


def test_nobody_is_blamed_for_a_death_after_its_end(rungs_file):
    """ENGINE.md 22: a request that ended was not inside."""

    async def scene(hearing: Hearing) -> None:
        await hearing.ask(Job(1, Plain("a = 1\n"), 3))
        at = len(hearing.frames)
        os.kill(hearing.engine.pid, signal.SIGKILL)
        died = await hearing.until(is_over, start=at)
        assert died.inside == ()

    play(rungs_file, scene)


def test_the_prompt_that_is_being_laid_out_may_be_to_blame_too(rungs_file):
    """ENGINE.md 22: laying out is native code; without this a prompt that kills it would be retried for ever."""

    async def scene(hearing: Hearing) -> None:
        at = len(hearing.frames)
        os.kill(hearing.engine.pid, signal.SIGSTOP)
        for number in (1, 2, 3):
            hearing.engine.submit(Job(number, Plain("x"), 3))
        os.kill(hearing.engine.pid, signal.SIGKILL)
        died = await hearing.until(is_over, start=at)
        assert died.inside == (1,), "jobs are laid out one after the other"

    play(rungs_file, scene)


PARENT = """
import asyncio, sys
from engines import devices
from engines.engine import Job, Loaded, Loading, Plain, Sampling, Stepped
from engines.process import ProcessEngine
from engines.spec import ModelSpec

async def main():
    loading, loaded, stepped = asyncio.Event(), asyncio.Event(), asyncio.Event()
    def receive(frame):
        if isinstance(frame, Loading):
            loading.set()
        if isinstance(frame, Loaded):
            loaded.set()
        if isinstance(frame, Stepped):
            stepped.set()
    spec = ModelSpec("m", sys.argv[1], rungs_file=sys.argv[2])
    engine = ProcessEngine(spec, receive, devices.build_name)
    engine.load()
    await (loading if sys.argv[3] == "loading" else loaded).wait()
    if sys.argv[3] == "busy":
        engine.submit(Job(1, Plain("a = 1\\n"), 900, Sampling(ignore_eos=True)))
        await stepped.wait()
    print(engine.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits on a pidfd")
@pytest.mark.parametrize("state", ["loading", "idle", "busy"])
def test_a_worker_ends_when_its_daemon_was_killed(rungs_file, state: str):
    """ENGINE.md 1: the worker exits when the socket closes; no orphans, no later than 2 s."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PARENT, str(EMBEDDED), str(rungs_file), state]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as parent:
        worker = int(parent.stdout.readline())
        parent.kill()
        killed = time.monotonic()
        assert exited(worker, GONE_S_MAX)
        print(f"worker gone {1e3 * (time.monotonic() - killed):.0f} ms after its daemon ({state})")


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits on a pidfd")
def test_a_worker_that_was_told_nothing_ends_with_its_socket_too():
    """ENGINE.md 1: also before there is anything to serve."""
    import socket

    ours, theirs = socket.socketpair()
    descriptors, their_descriptors = socket.socketpair()
    with ours, theirs, descriptors, their_descriptors:
        numbers = (theirs.fileno(), their_descriptors.fileno())
        command = [sys.executable, "-m", "engines.worker", *map(str, numbers)]
        root = Path(__file__).parents[2]
        with subprocess.Popen(command, pass_fds=numbers, cwd=root) as worker:
            theirs.close()
            ours.close()
            assert exited(worker.pid, 30)
            assert worker.wait() == 0


# --- jobs ----------------------------------------------------------------------------------------


def test_a_job_that_is_no_frame_is_refused_in_words_and_the_worker_lives(rungs_file):
    async def scene(hearing: Hearing) -> None:
        huge = await hearing.ask(Job(1, Plain("x" * FRAME_BYTES_MAX), 1))
        far = await hearing.ask(Job(2, Plain("x"), 1, Sampling(seed=10**30)))
        assert (huge.stopped.halt, far.stopped.halt) == (Halt.INVALID, Halt.INVALID)
        assert "limit" in huge.stopped.detail
        assert "64 bits" in far.stopped.detail
        long = await hearing.ask(Job(3, Plain("x" * 20_000_000), 1))
        assert long.stopped.too_long
        half = await hearing.ask(Job(4, Plain("x = '\ud83d"), 2))
        assert half.stopped.halt == Halt.DONE

    play(rungs_file, scene)


def test_a_prompt_is_prepared_while_a_step_runs(rungs_file):
    """ENGINE.md 2, 3: intake has a thread of its own, and one step's tokens travel in one frame."""

    async def scene(hearing: Hearing) -> None:
        for number in (1, 2):
            hearing.engine.submit(Job(number, Plain(f"a{number} = 1\n"), 600, LONG))
        await hearing.emitted(2, 3)
        hearing.engine.submit(Job(3, Plain("c = "), 2))
        await hearing.stopped(3)
        ended = [f.request_id for f in hearing.frames if isinstance(f, Stopped)]
        assert ended == [3], "the others still run"
        shared = [
            f
            for f in hearing.frames
            if isinstance(getattr(f, "emitted", None), tuple) and len(f.emitted) > 1
        ]
        assert shared
        assert all(isinstance(e, Emitted) for f in shared for e in f.emitted)

    play(rungs_file, scene)


def test_every_job_ends_once_whatever_order_intake_and_steps_are_in(rungs_file):
    """A `Withdraw` may find its job unread, laid out, waiting, running or over; a number may come again."""
    chance = random.Random(11)

    async def scene(hearing: Hearing) -> None:
        for number in range(1, 61):
            text = "x = 1\n" * chance.randrange(1, 60)
            hearing.engine.submit(Job(number, Plain(text), chance.randrange(12), LONG))
            if chance.random() < 0.6:
                hearing.engine.stop(chance.randrange(max(1, number - 4), number + 1))
            if chance.random() < 0.3:
                await hearing.stopped(chance.randrange(1, number + 1))
        ends = [await hearing.stopped(number) for number in range(1, 61)]
        assert {end.halt for end in ends} == {Halt.DONE, Halt.STOPPED}
        hearing.engine.submit(Job(5, Plain("again"), 1))
        await hearing.until(lambda f: isinstance(f, Stopped), start=len(hearing.frames))
        stops = [f.request_id for f in hearing.frames if isinstance(f, Stopped)]
        assert sorted(stops) == sorted([*range(1, 61), 5])

    play(rungs_file, scene)


def test_memory_is_counted_once(rungs_file, tmp_path: Path):
    """ENGINE.md 25: mapped weights are told apart from what is private to the process.

    The file is one's own: the kernel calls pages private that one process alone has mapped.
    """
    weights = Path(shutil.copy(EMBEDDED, tmp_path))
    size = weights.stat().st_size + 4096

    async def scene(hearing: Hearing) -> None:
        await hearing.ask(Job(1, Plain("c = "), 2))
        usage = hearing.engine.usage()
        resident = psutil.Process(hearing.engine.pid).memory_info().rss
        assert 0 < usage.mapped_bytes <= size
        assert 0 < usage.private_bytes < resident
        assert usage.total_bytes <= resident

    play(rungs_file, scene, path=str(weights))


# --- what a prompt that takes long to lay out holds up --------------------------------------------


LAID_OUT_LONG = Job(9, Plain(" " * 260_000), 1)
"""Hundreds of thousands of blanks take llama.cpp tens of steps to tokenise; then there is no room for them."""
FOR_EVER_S = 1000.0


def test_a_pause_does_not_wait_for_a_prompt_that_is_laid_out(rungs_file):
    """ENGINE.md 12: what is urgent in another worker waits for a step and a message, not for somebody's long prompt."""

    async def scene(hearing: Hearing) -> None:
        hearing.engine.submit(Job(1, Plain("a = 1\n"), 900, LONG))
        await hearing.emitted(1, 3)
        hearing.engine.submit(LAID_OUT_LONG)
        hearing.engine.pause(3.0, FOR_EVER_S)
        before = len(hearing.answer_so_far(1)[0])
        assert (await hearing.stopped(9)).too_long
        assert len(hearing.answer_so_far(1)[0]) - before < 10

    play(rungs_file, scene)


def test_who_is_taken_back_does_not_wait_for_a_prompt_that_is_laid_out(rungs_file):
    """A running job ends within a step; one that still waits to be laid out ends behind that."""

    async def scene(hearing: Hearing) -> None:
        for number in (1, 2):
            hearing.engine.submit(Job(number, Plain(f"a = {number}\n"), 900, LONG))
            await hearing.emitted(number, 3)
        hearing.engine.submit(LAID_OUT_LONG)
        hearing.engine.submit(Job(3, Plain("b = 1\n"), 900, LONG))
        hearing.engine.stop(1)
        hearing.engine.park(2)
        hearing.engine.stop(3)
        await hearing.stopped(3)
        ends = [(f.request_id, f.halt) for f in hearing.frames if isinstance(f, Stopped)]
        assert sorted(ends[:2]) == [(1, Halt.STOPPED), (2, Halt.PARKED)]
        assert ends[2:] == [(9, Halt.INVALID), (3, Halt.STOPPED)]

    play(rungs_file, scene)
