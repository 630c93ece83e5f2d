"""The life and death of a worker process: whatever happens to it, it ends in one frame and leaves nothing behind."""

import asyncio
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from engines import devices, ladder
from engines.child import Child
from engines.engine import (
    Died,
    Emitted,
    Frame,
    Job,
    Loaded,
    LoadFailed,
    Loading,
    Plain,
    Prepared,
    Sampling,
    Stopped,
    Unloaded,
)
from engines.process import ProcessEngine
from engines.spec import ModelSpec
from engines.wire import FRAME_BYTES_MAX
from policies.messages import Halt
from tests.engines.hearing import EMBEDDED, Hearing, embedded_engine, running

pytestmark = pytest.mark.slow

ENDS = Loaded | LoadFailed | Died | Unloaded
GONE_S_MAX = 2.0
LONG = Sampling(ignore_eos=True)


def play(rungs_file: Path, scene, **spec: object) -> None:
    """Run a scene with a loaded engine."""

    async def run() -> None:
        async with running(embedded_engine, rungs_file, **spec) as hearing:
            await scene(hearing)

    asyncio.run(run())


def play_load(
    rungs_file: Path, scene, *, build: Callable[[], str] = devices.build_name, **spec: object
) -> None:
    """Run a scene with an engine that has not been told to load."""

    async def run() -> None:
        hearing = Hearing()
        given = {"name": "m", "path": str(EMBEDDED), "rungs_file": str(rungs_file), **spec}
        hearing.engine = ProcessEngine(ModelSpec(**given), hearing.receive, build)
        try:
            await scene(hearing)
        finally:
            hearing.engine.kill()

    asyncio.run(run())


class OopsError(Exception):
    """A mistake of the daemon's."""

    def __str__(self) -> str:
        return "the listener failed"


def around_spawn(
    monkeypatch: pytest.MonkeyPatch,
    *,
    amid: Callable[[], None] = lambda: None,
    after: Callable[[Child], object] = lambda _child: None,
) -> None:
    """Act while a worker is being started, or when it runs and its engine does not know it yet."""
    spawn = Child.spawn

    async def spawn_and_act(model: str) -> Child:
        asyncio.get_running_loop().call_soon(amid)
        child = await spawn(model)
        after(child)
        return child

    monkeypatch.setattr(Child, "spawn", spawn_and_act)


def is_over(frame: Frame) -> bool:
    return isinstance(frame, ENDS)


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
    with ours, theirs:
        command = [sys.executable, "-m", "engines.worker", str(theirs.fileno())]
        root = Path(__file__).parents[2]
        with subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=root) as worker:
            theirs.close()
            ours.close()
            assert exited(worker.pid, 30)
            assert worker.wait() == 0


# --- loads that fail -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cut", "cut short"),
        ("text", "is not a GGUF model"),
        ("missing", "No such file"),
        ("junk", "GGUF"),
    ],
)
def test_a_file_that_is_no_model_fails_in_words(rungs_file, tmp_path: Path, name: str, words: str):
    path = tmp_path / f"{name}.gguf"
    data = {
        "cut": EMBEDDED.read_bytes()[:3_000_000],
        "text": b"# A model card\n",
        "junk": b"GGUF\3\0\0\0" + bytes(range(256)) * 8,
    }
    if name in data:
        path.write_bytes(data[name])

    async def scene(hearing: Hearing) -> None:
        hearing.engine.load()
        failed = await hearing.until(is_over)
        assert isinstance(failed, LoadFailed)
        assert words in failed.detail or "damaged" in failed.detail
        assert hearing.engine.pid is None

    play_load(rungs_file, scene, path=str(path))


def test_what_nobody_expects_ends_a_load_in_words(rungs_file):
    """An exception in the task that loads would be heard by nobody."""

    def build() -> str:
        raise RuntimeError("no build here")

    async def scene(hearing: Hearing) -> None:
        hearing.engine.load()
        assert await hearing.until(is_over) == LoadFailed("RuntimeError: no build here")

    play_load(rungs_file, scene, build=build)


def test_what_nobody_expects_ends_a_life_in_words(rungs_file):
    """A listener that fails must not leave a worker that nobody owns."""

    async def scene(hearing: Hearing) -> None:
        pid, receive = hearing.engine.pid, hearing.engine._receive

        def fail(frame: Frame) -> None:
            if isinstance(frame, Prepared):
                raise OopsError
            receive(frame)

        hearing.engine._receive = fail
        hearing.engine.submit(Job(1, Plain("x"), 3))
        died = await hearing.until(lambda f: isinstance(f, Died))
        assert died.detail == "OopsError: the listener failed"
        assert not psutil.pid_exists(pid)

    play(rungs_file, scene)


def test_a_worker_killed_on_the_remembered_rung_is_no_failed_load(rungs_file, tmp_path: Path):
    """ENGINE.md 23: the rung is forgotten, the ladder climbed, and another remembered."""
    build = devices.build_name()
    own = tmp_path / "rungs.json"
    spec = ModelSpec("m", str(EMBEDDED), rungs_file=str(own))
    ladder.remember(spec, build, ladder.SAFE)

    async def scene(hearing: Hearing) -> None:
        hearing.engine.load()
        await hearing.until(lambda f: isinstance(f, Loading))
        os.kill(hearing.engine.pid, signal.SIGKILL)
        assert isinstance(await hearing.until(is_over), Loaded)
        assert ladder.recall(spec, build) is not None

    play_load(own, scene)


def test_a_worker_that_always_dies_is_a_failed_load(rungs_file, tmp_path: Path):
    async def scene(hearing: Hearing) -> None:
        receive = hearing.engine._receive

        def kill(frame: Frame) -> None:
            receive(frame)
            if isinstance(frame, Loading) and hearing.engine.pid:
                os.kill(hearing.engine.pid, signal.SIGKILL)

        hearing.engine._receive = kill
        hearing.engine.load()
        failed = await hearing.until(is_over)
        assert isinstance(failed, LoadFailed)
        assert "SIGKILL" in failed.detail

    play_load(tmp_path / "rungs.json", scene)


# --- unloading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["at once", "spawned", "loading", "second rung"])
def test_an_unload_amid_a_load_ends_it_once_and_forgets_nothing(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
):
    """ENGINE.md 26: `Unloaded` follows when the process has exited; the rung had nothing to do with it."""
    build = devices.build_name()
    own = tmp_path / "rungs.json"
    spec = ModelSpec("m", str(EMBEDDED), rungs_file=str(own))
    if moment != "second rung":
        ladder.remember(spec, build, ladder.SAFE)
    rungs: list[str] = []
    pids: set[int] = set()

    async def scene(hearing: Hearing) -> None:
        receive = hearing.engine._receive

        def watch(frame: Frame) -> None:
            receive(frame)
            if isinstance(frame, Loading):
                pids.add(hearing.engine.pid)
                if frame.rung not in rungs:
                    rungs.append(frame.rung)
                    if moment == "loading" or len(rungs) == 2:
                        hearing.engine.unload()

        def unload(child: Child) -> None:
            pids.add(child.pid)
            hearing.engine.unload()

        if moment == "spawned":
            around_spawn(monkeypatch, after=unload)
        hearing.engine._receive = watch
        hearing.engine.load()
        if moment == "at once":
            hearing.engine.unload()
        ended = await hearing.until(is_over)
        assert isinstance(ended, Unloaded)
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        assert sum(isinstance(f, ENDS) for f in hearing.frames) == 1
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert ladder.recall(spec, build) == (None if moment == "second rung" else ladder.SAFE)

    play_load(own, scene)


def test_unloading_what_is_not_loaded_is_answered(rungs_file):
    async def scene(hearing: Hearing) -> None:
        hearing.engine.unload()
        assert await hearing.until(is_over) == Unloaded()

    play_load(rungs_file, scene)


ENDINGS = ("unload", "kill", "kill at once", "kill amid spawning", "kill when spawned")


def test_nothing_is_left_of_a_worker(rungs_file, monkeypatch: pytest.MonkeyPatch):
    """No descriptor, process, task or file, whether it was unloaded, killed, or killed while it started."""
    me = psutil.Process()

    async def scene() -> None:
        for end in ENDINGS:
            hearing = Hearing()
            hearing.engine = embedded_engine(hearing.receive, rungs_file)
            kill = hearing.engine.kill
            if end == "kill amid spawning":
                around_spawn(monkeypatch, amid=kill)
            if end == "kill when spawned":
                soon = asyncio.get_running_loop().call_soon
                around_spawn(monkeypatch, after=lambda _child, soon=soon, kill=kill: soon(kill))
            hearing.engine.load()
            if end in {"unload", "kill"}:
                await hearing.loaded()
            at = len(hearing.frames)
            if end == "unload":
                hearing.engine.unload()
                await hearing.until(lambda f: isinstance(f, Unloaded))
            elif end in {"kill", "kill at once"}:
                kill()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*others, return_exceptions=True)
            assert me.children() == [], end
            if end != "unload":
                assert len(hearing.frames) == at, "no frame follows a kill"
            monkeypatch.undo()

    asyncio.run(scene())
    before = me.num_fds()
    asyncio.run(scene())
    assert me.num_fds() == before


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
