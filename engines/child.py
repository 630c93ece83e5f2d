"""One worker process and its sockets, seen from the daemon: spawned, spoken to, measured, waited for, buried."""

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
from typing import IO

import psutil

from engines.engine import Usage
from engines.wire import Down, FrameError, Hand, Lend, Up, pack, reads_up, send_descriptor

EXIT_S_MAX = 1.0
"""How long a worker may take to end after its socket has closed, before it is killed."""
LAST_WORDS_BYTES = 600
LAST_WORDS_CHARS = 200
_ENVIRON = {
    "GGML_NO_BACKTRACE": "1",  # it would wait for a debugger
    # Threads of one graph wait for each other hundreds of times a step. Spinning on halves the speed beside two busy
    # programs, sleeping at once costs a small model up to 90 % of its speed on a quiet machine; a short spin does
    # neither (ENGINE.md 27).
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "2000",
}
ROOT = Path(__file__).resolve().parent.parent
"""Where `engines` is imported from, whatever the daemon's own working directory."""


class Child:
    """A worker process. Whoever spawned it waits until it is `gone`, or buries it."""

    def __init__(
        self,
        model: str,
        process: subprocess.Popen[bytes],
        words: IO[bytes],
        sock: socket.socket,
        descriptors: socket.socket,
    ) -> None:
        self._model = model
        self._process = process
        self._words = words
        self.sock = sock
        self._descriptors = descriptors
        self._incoming: asyncio.Queue[Up | Exception | None] = asyncio.Queue()
        self._transport: asyncio.WriteTransport | None = None
        self._hear: Callable[[Up], None] | None = None

    @classmethod
    async def spawn(cls, model: str) -> Child:
        """Start a process. Called off while it starts, it leaves none behind."""
        loop = asyncio.get_running_loop()
        starting = asyncio.create_task(asyncio.to_thread(_start, model))
        try:
            child = await asyncio.shield(starting)
            await loop.create_unix_connection(lambda: _Reading(child), sock=child.sock)
        except BaseException:
            (await starting).bury()
            raise
        return child

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def attach(self, transport: asyncio.WriteTransport) -> None:
        """The socket is connected."""
        self._transport = transport

    def take(self, frame: Up | None) -> None:
        """Take a frame, or None: the socket is closed. Behind others that wait it waits too."""
        if not self._hear or frame is None or not self._incoming.empty():
            self._incoming.put_nowait(frame)
            return
        try:
            self._hear(frame)
        except Exception as error:  # noqa: BLE001 -- it belongs to whoever awaits `frames`
            self._incoming.put_nowait(error)

    def listen(self, hear: Callable[[Up], None]) -> None:
        """From now on hand over at once what `frames` does not hold yet: no task wakes up for a step."""
        self._hear = hear

    def send(self, frame: Down) -> None:
        """Send a frame; one that comes after the end is lost. FrameError where it cannot be sent at all."""
        data = pack(self._model, frame)
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def pass_down(self, frame: Hand | Lend, fd: int) -> bool:
        """Send a copy of a descriptor, and the frame that announces it. False where the worker takes no more."""
        try:
            send_descriptor(self._descriptors, frame.handle, fd)
        except OSError:  # it is gone, or has been held up for hundreds of descriptors
            return False
        self.send(frame)
        return True

    def hang_up(self) -> None:
        """Close the sockets, which ends the process."""
        self._descriptors.close()
        if self._transport:
            self._transport.abort()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def bury(self) -> None:
        """Kill it and leave nothing of it behind. Harmless when it is gone."""
        self.hang_up()
        self.sock.close()
        self._process.kill()
        self._process.wait()
        self._words.close()

    async def frames(self) -> AsyncIterator[Up]:
        """Yield frames until the socket closes. What went wrong in `listen`'s hearer is raised here."""
        while (frame := await self._incoming.get()) is not None:
            if isinstance(frame, Exception):
                raise frame
            yield frame

    async def gone(self) -> str:
        """Wait until the process has exited; say how it went."""
        try:
            code = await asyncio.to_thread(self._process.wait, EXIT_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = await asyncio.to_thread(self._process.wait)
        with self._words as words:
            words.seek(max(0, words.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
            last = words.read().decode("utf-8", "replace").strip().splitlines()
        said = f": {last[-1][:LAST_WORDS_CHARS]}" if last else ""
        return f"worker ended with {_exit_name(code)}{said}"

    def usage(self, weights: str) -> Usage:
        """Tell memory apart: mapped weights, and what is private to the process (ENGINE.md 25).

        Mapped weights are not counted as private as well, although the kernel calls the pages of a file that
        one process alone has mapped private.
        """
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(self.pid)
            if not hasattr(process, "memory_maps"):  # macOS
                return Usage(private_bytes=process.memory_full_info().uss)
            maps = process.memory_maps(grouped=True)
            path = str(Path(weights).resolve())
            return Usage(
                private_bytes=sum(
                    entry.private_clean + entry.private_dirty
                    for entry in maps
                    if entry.path != path
                ),
                mapped_bytes=sum(entry.rss for entry in maps if entry.path == path),
            )
        return Usage()


def _start(model: str) -> Child:
    """Start `engines.worker FD FD2`: the sockets of frames and of descriptors."""
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        frames, its_frames = _socket_pair(ours, theirs)
        descriptors, its_descriptors = _socket_pair(ours, theirs)
        descriptors.setblocking(False)  # noqa: FBT003 -- the library's
        words = ours.enter_context(tempfile.TemporaryFile(prefix="hearth-worker-"))
        numbers = (its_frames.fileno(), its_descriptors.fileno())
        process = subprocess.Popen(  # noqa: S603 -- our own interpreter
            [sys.executable, "-m", "engines.worker", *map(str, numbers)],
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            pass_fds=numbers,
            cwd=ROOT,
            env={**_ENVIRON, **os.environ},
            start_new_session=True,  # a Ctrl-C for the daemon is not for its workers
        )
        ours.pop_all()
    return Child(model, process, words, frames, descriptors)


def _socket_pair(
    ours: contextlib.ExitStack, theirs: contextlib.ExitStack
) -> tuple[socket.socket, socket.socket]:
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return ours.enter_context(mine), theirs.enter_context(its)


class _Reading(asyncio.Protocol):
    """Feeds a worker's bytes into its queue of frames."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._unpacker = reads_up()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._child.attach(transport)

    def data_received(self, data: bytes) -> None:
        try:
            for _, frame in self._unpacker.feed(data):
                self._child.take(frame)
        except FrameError:
            self._child.kill()  # a worker that talks nonsense is as good as dead

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        self._child.take(None)


def _exit_name(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
