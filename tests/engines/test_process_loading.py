"""Loads that fail, loads that are called off, and what is left of a worker: nothing."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from gguf import GGUFWriter

from engines import devices, ladder
from engines.child import Child
from engines.engine import (
    Died,
    Frame,
    Job,
    Loaded,
    LoadFailed,
    Loading,
    Plain,
    Prepared,
    Unloaded,
)
from engines.spec import ModelSpec
from tests.engines.hearing import EMBEDDED, Hearing, embedded_engine
from tests.engines.lives import ENDS, is_over, play, play_load

pytestmark = pytest.mark.slow


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


@pytest.mark.parametrize(
    ("pooling", "causal", "words"),
    [(4, True, "rerankers"), (9, True, "rerankers"), (None, False, "names no pooling")],
)
def test_a_file_that_can_neither_write_nor_embed_is_refused_in_words(
    rungs_file, tmp_path: Path, pooling: int | None, causal: bool, words: str
):
    """llama.cpp would load it, and kill the process in its first step."""
    path = tmp_path / "neither.gguf"
    writer = GGUFWriter(str(path), "qwen2")
    writer.add_causal_attention(causal)
    if pooling is not None:
        writer.add_uint32("qwen2.pooling_type", pooling)
    writer.add_tensor("none", np.zeros(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    async def scene(hearing: Hearing) -> None:
        hearing.engine.load()
        failed = await hearing.until(is_over)
        assert isinstance(failed, LoadFailed)
        assert words in failed.detail

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
        others_children = set(me.children())  # of other tests, not reaped yet
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
            assert set(me.children()) - others_children == set(), end
            if end != "unload":
                assert len(hearing.frames) == at, "no frame follows a kill"
            monkeypatch.undo()

    asyncio.run(scene())
    before = me.num_fds()
    asyncio.run(scene())
    assert me.num_fds() == before
