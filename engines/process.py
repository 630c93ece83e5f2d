"""The parent's side of a worker: starts the process, climbs the ladder, turns its frames and its death into one stream.

    load() ──> remembered rung? ──yes──> spawn ──> Loaded
                     │no                    ╰─ dies or fails: forget the rung, climb
                     ▼
    climb: self-test on the safest rung (the reference), then on each rung from the best down; the first worker
    that agrees with the reference is kept and serves. Nothing is loaded twice on a machine that is known.

Everything here runs on the daemon's loop; only spawning and waiting for an exit use a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil

from engines import ladder
from engines.engine import (
    Died,
    Job,
    Loaded,
    LoadFailed,
    Loading,
    Prepared,
    Receive,
    Stepped,
    Stopped,
    Unloaded,
    Usage,
)
from engines.spec import ModelSpec
from engines.wire import (
    Aboard,
    Begin,
    Down,
    FrameError,
    Submit,
    Tested,
    Up,
    Withdraw,
    pack,
    reads_up,
)

EXIT_S_MAX = 1.0
"""How long a worker may take to end after its socket has closed, before it is killed."""
LAST_WORDS_BYTES = 600
ROOT = Path(__file__).resolve().parent.parent
"""Where `engines` is imported from, whatever the daemon's own working directory."""


class ProcessEngine:
    """A llama.cpp model in a worker process of its own. Conforms to `engines.engine.Engine`."""

    def __init__(self, spec: ModelSpec, receive: Receive, build: Callable[[], str]) -> None:
        self._spec = spec
        self._receive = receive
        self._build = build
        self._worker: _Worker | None = None
        self._task: asyncio.Task[None] | None = None
        self._aboard: tuple[int, ...] = ()
        self._unloading = False

    def load(self) -> None:
        """Begin to load: `Loading` frames, then one `Loaded`, `LoadFailed` or `Died`."""
        self._unloading = False
        self._task = asyncio.get_running_loop().create_task(self._live())

    def submit(self, job: Job) -> None:
        """Send a job to the worker; without one it is lost, and `Died` says so."""
        if self._worker:
            self._worker.send(Submit(job))

    def stop(self, request_id: int) -> None:
        """Ask for a job back."""
        if self._worker:
            self._worker.send(Withdraw(request_id))

    def unload(self) -> None:
        """Close the worker's socket: it exits, and `Unloaded` follows."""
        self._unloading = True
        if self._worker:
            self._worker.hang_up()
        elif self._task:
            self._task.cancel()
            self._receive(Unloaded())

    def usage(self) -> Usage:
        """Measure the worker's memory now."""
        return self._worker.usage(self._spec.path) if self._worker else Usage()

    def kill(self) -> None:
        """End the worker at once; no frame follows."""
        self._unloading = True
        if self._task:
            self._task.cancel()
        if self._worker:
            self._worker.bury()

    @property
    def pid(self) -> int | None:
        """The worker's process, if there is one."""
        return self._worker.pid if self._worker else None

    async def _live(self) -> None:
        """Load, then pass frames on until the worker is gone."""
        try:
            worker = await self._recalled() or await self._climb()
        except _Failed as failure:
            self._receive(Unloaded() if self._unloading else LoadFailed(str(failure)))
            return
        async for frame in worker.frames():
            self._pass_on(frame)
        detail = await worker.gone()
        self._worker = None
        self._receive(Unloaded() if self._unloading else Died(self._aboard, detail))

    def _pass_on(self, frame: Up) -> None:
        match frame:
            case Aboard(request_ids=aboard):
                self._aboard = aboard
            case Prepared() | Stepped() | Stopped():
                self._receive(frame)
            case _:
                pass  # a frame of the load that came late

    async def _recalled(self) -> _Worker | None:
        """Load on the rung that worked before; None when there is none, or it has failed now."""
        build = await asyncio.to_thread(self._build)
        rung = ladder.recall(self._spec, build)
        if rung is None:
            return None
        try:
            worker, _ = await self._start(rung, self_test=False)
        except _Failed as failure:
            ladder.forget(self._spec, build)
            if not failure.crashed:
                raise
            return None
        return worker

    async def _climb(self) -> _Worker:
        """Find the best rung that agrees with the safest one, and remember it."""
        build = await asyncio.to_thread(self._build)
        *better, safest = ladder.rungs(
            gpu_build="CUDA" in build or "Metal" in build or "Vulkan" in build,
            gpu_layers=self._spec.gpu_layers,
        )
        worker, reference = await self._start(safest, self_test=True)
        for rung in better:
            try:
                trial, seen = await self._start(rung, self_test=True, announce=False)
            except _Failed:
                continue
            if reference and seen and ladder.agrees(seen, reference):
                worker.hang_up()
                await worker.gone()
                worker, safest = trial, rung
                break
            trial.hang_up()
            await trial.gone()
        self._worker = worker
        ladder.remember(self._spec, build, safest)
        self._receive(worker.loaded)
        return worker

    async def _start(
        self, rung: ladder.Rung, *, self_test: bool, announce: bool = True
    ) -> tuple[_Worker, Tested | None]:
        """Spawn a worker and wait until it has loaded; _Failed says how it ended otherwise."""
        worker = await _Worker.spawn(self._spec.name)
        if announce:
            self._worker = worker
        worker.send(Begin(self._spec, rung.name, self_test))
        seen: Tested | None = None
        reason = ""
        async for frame in worker.frames():
            match frame:
                case Loading():
                    self._receive(frame)
                case Tested():
                    seen = frame
                case LoadFailed(detail=detail):
                    reason = detail
                case Loaded():
                    worker.loaded = frame
                    if not self_test:
                        self._receive(frame)
                    return worker, seen
                case _:
                    pass
        last_words = await worker.gone()
        self._worker = None
        raise _Failed(reason or last_words, crashed=not reason)


class _Failed(Exception):  # noqa: N818 -- an outcome, caught where it is raised
    def __init__(self, detail: str, *, crashed: bool) -> None:
        super().__init__(detail)
        self.crashed = crashed


class _Worker:
    """One process and its socket."""

    def __init__(
        self,
        model: str,
        process: subprocess.Popen[bytes],
        words: tempfile._TemporaryFileWrapper[bytes],
    ) -> None:
        self._model = model
        self._process = process
        self._words = words
        self._incoming: asyncio.Queue[Up | None] = asyncio.Queue()
        self._transport: asyncio.WriteTransport | None = None
        self.loaded: Loaded

    @classmethod
    async def spawn(cls, model: str) -> _Worker:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        words = tempfile.NamedTemporaryFile(prefix="hearth-worker-")  # noqa: SIM115 -- closed in gone()
        command = [sys.executable, "-m", "engines.worker", str(theirs.fileno())]
        with theirs:
            process = await asyncio.to_thread(
                subprocess.Popen,
                command,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
                env={**os.environ, "GGML_NO_BACKTRACE": "1"},  # it would wait for a debugger
                start_new_session=True,  # a Ctrl-C for the daemon is not for its workers
            )
        worker = cls(model, process, words)
        loop = asyncio.get_running_loop()
        await loop.create_unix_connection(lambda: _Reading(worker), sock=ours)
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    def attach(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport

    def take(self, frame: Up | None) -> None:
        """Queue a frame, or None: the socket is closed."""
        self._incoming.put_nowait(frame)

    def send(self, frame: Down) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(pack(self._model, frame))

    def hang_up(self) -> None:
        if self._transport:
            self._transport.abort()

    def kill(self) -> None:
        self._process.kill()

    def bury(self) -> None:
        """Kill it and leave nothing of it behind; nobody waits for it any more."""
        self.hang_up()
        self._process.kill()
        self._process.wait()
        self._words.close()

    async def frames(self) -> AsyncIterator[Up]:
        """Yield frames until the socket closes."""
        while (frame := await self._incoming.get()) is not None:
            yield frame

    async def gone(self) -> str:
        """Wait until the process has exited; say how it went."""
        try:
            code = await asyncio.to_thread(self._process.wait, EXIT_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = await asyncio.to_thread(self._process.wait)
        with self._words as words:
            words.seek(0, 2)
            words.seek(max(0, words.tell() - LAST_WORDS_BYTES))
            last = words.read().decode("utf-8", "replace").strip().splitlines()
        said = f": {last[-1][:200]}" if last else ""
        return f"worker ended with {_exit_name(code)}{said}"

    def usage(self, weights: str) -> Usage:
        """Tell memory apart: private to the process, and the mapped model file (ENGINE.md 25)."""
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(self.pid)
            maps = process.memory_maps(grouped=True)
            mapped = sum(entry.rss for entry in maps if entry.path == str(Path(weights).resolve()))
            return Usage(private_bytes=process.memory_full_info().uss, mapped_bytes=mapped)
        return Usage()


class _Reading(asyncio.Protocol):
    """Feeds a worker's bytes into its queue of frames."""

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker
        self._unpacker = reads_up()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._worker.attach(transport)

    def data_received(self, data: bytes) -> None:
        try:
            for _, frame in self._unpacker.feed(data):
                self._worker.take(frame)
        except FrameError:
            self._worker.kill()  # a worker that talks nonsense is as good as dead

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        self._worker.take(None)


def _exit_name(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
