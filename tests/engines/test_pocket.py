"""Descriptors between two true processes: what a worker parks outlives it, and another worker restores it (ENGINE.md 18)."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engines.engine import Parked, Stopped
from engines.parking import Geometry, ParkedError
from engines.pocket import Pocket
from engines.shelf import Shelf
from engines.wire import FrameError, Hand, Lend, Park, pack, reads_up, send_descriptor

ROOT = Path(__file__).parents[2]
GEOMETRY = Geometry("fake", "/m", 1, 2, 3, "f16", "on", "0")
LIMIT = 1 << 20
TOKENS = (5, 6, 7)

WORKER = """
import ctypes, sys, socket
from engines.engine import Stopped
from engines.parking import Geometry, ParkedError
from engines.pocket import Pocket
from engines.wire import Hand, Lend, Park, pack, reads_down

STATE = b"kv" * 5000
GEOMETRY = Geometry("fake", "/m", 1, 2, 3, "f16", "on", "0")
frames, descriptors = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
pocket, reader = Pocket(descriptors), reads_down()


def fill(address, size_bytes):
    ctypes.memmove(address, STATE, size_bytes)
    return size_bytes


def answer(frame):
    match frame:
        case Hand():
            pocket.receive(frame)
        case Park(request_id):
            try:
                parked = pocket.save(GEOMETRY, (5, 6, 7), len(STATE), fill)
            except ParkedError as error:
                return Stopped(request_id, "parked", detail=str(error))
            return Stopped(request_id, "parked", parked=parked)
        case Lend(handle):
            pocket.receive(frame)
            with pocket.restore(handle, GEOMETRY) as saved:
                same = ctypes.string_at(saved.address, saved.size_bytes) == STATE
                return Stopped(handle, "done", detail=f"{saved.tokens} {same}")


while data := frames.recv(65536):
    for _, frame in reader.feed(data):
        if said := answer(frame):
            frames.sendall(pack("m", said))
"""


class Peer:
    """A worker in a process of its own, seen from the daemon."""

    def __init__(self) -> None:
        self.frames, theirs = socket.socketpair()
        self.descriptors, their_descriptors = socket.socketpair()
        numbers = (theirs.fileno(), their_descriptors.fileno())
        command = [sys.executable, "-c", WORKER, *map(str, numbers)]
        with theirs, their_descriptors:
            self.process = subprocess.Popen(command, pass_fds=numbers, cwd=ROOT)
        self._reader = reads_up()

    def pass_down(self, frame: Hand | Lend, fd: int) -> None:
        send_descriptor(self.descriptors, frame.handle, fd)
        self.frames.sendall(pack("m", frame))

    def ask(self, request_id: int) -> Stopped:
        self.frames.sendall(pack("m", Park(request_id)))
        return self.hear()

    def hear(self) -> Stopped:
        while True:
            for _, frame in self._reader.feed(self.frames.recv(65536)):
                assert isinstance(frame, Stopped)
                return frame

    def end(self) -> None:
        self.frames.close()
        self.descriptors.close()
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def peer() -> Iterator[Peer]:
    worker = Peer()
    try:
        yield worker
    finally:
        worker.end()


def test_what_one_worker_parked_another_restores_after_its_death() -> None:
    """The memory is the daemon's: it is there when its writer is gone."""
    shelf = Shelf(LIMIT)
    handle, fd = shelf.blank()
    with peer() as first:
        first.pass_down(Hand(handle, LIMIT), fd)
        parked = first.ask(1).parked
    assert parked == Parked(handle, 3, shelf.keep(handle) and os.fstat(fd).st_size)
    with peer() as second:
        second.pass_down(Lend(handle), shelf.find(handle))
        shelf.drop(handle)
        assert second.hear().detail == f"{TOKENS} True"
    assert len(shelf) == 0


def test_a_worker_parks_once_for_each_descriptor_it_was_handed() -> None:
    """Two that were handed are used in their order; without one it says so and lives."""
    shelf = Shelf(LIMIT)
    handles = []
    with peer() as worker:
        assert "no memory at hand" in worker.ask(1).detail
        for _ in range(2):
            handle, fd = shelf.blank()
            handles.append(handle)
            worker.pass_down(Hand(handle, LIMIT), fd)
        assert [worker.ask(n).parked.handle for n in (2, 3)] == handles
        assert worker.ask(4).parked is None
    for handle in handles:
        shelf.drop(handle)


# --- in one process ------------------------------------------------------------------------------


class Daemon:
    """The other end of a pocket."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        self.pocket = Pocket(theirs)
        self.theirs = theirs
        self.shelf = Shelf(LIMIT)

    def hand(self, bytes_max: int = LIMIT) -> int:
        handle, fd = self.shelf.blank()
        send_descriptor(self.socket, handle, fd)
        self.pocket.receive(Hand(handle, bytes_max))
        return handle

    def lend(self, handle: int) -> None:
        send_descriptor(self.socket, handle, self.shelf.find(handle))
        self.pocket.receive(Lend(handle))

    def save(self) -> Parked:
        return self.pocket.save(GEOMETRY, TOKENS, 0, lambda _address, _size: 0)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    it = Daemon()
    with it.socket, it.theirs:
        yield it


def test_a_save_that_failed_leaves_the_descriptor_for_the_next(daemon: Daemon) -> None:
    """The daemon hands out another only for one that came back filled."""
    handle = daemon.hand()
    with pytest.raises(ParkedError, match="wrote 1 of 2"):
        daemon.pocket.save(GEOMETRY, TOKENS, 2, lambda _address, _size: 1)
    assert daemon.save().handle == handle
    daemon.shelf.drop(handle)


def test_the_limit_that_was_handed_with_it_holds(daemon: Daemon) -> None:
    """Without it a worker would fill memory that the shelf then throws away."""
    handle = daemon.hand(bytes_max=10)
    with pytest.raises(ParkedError, match="allowed"):
        daemon.save()
    daemon.shelf.drop(handle)


def test_what_was_lent_is_used_up_by_a_restore_or_forgotten(daemon: Daemon) -> None:
    """Once; a restore that fails has used it up as well, and no descriptor is left."""
    before = psutil.Process().num_fds()
    handle = daemon.hand()
    daemon.save()
    daemon.shelf.keep(handle)
    other = Geometry("other", "/m", 1, 2, 3, "f16", "on", "0")
    daemon.lend(handle)
    with pytest.raises(ParkedError, match="architecture"):
        daemon.pocket.restore(handle, other)
    daemon.lend(handle)
    daemon.pocket.forget(handle)
    daemon.pocket.forget(handle)
    daemon.lend(handle)
    daemon.pocket.restore(handle, GEOMETRY).close()
    with pytest.raises(ParkedError, match="no longer kept"):
        daemon.pocket.restore(handle, GEOMETRY)
    daemon.shelf.drop(handle)
    assert psutil.Process().num_fds() == before


def test_a_descriptor_that_is_not_the_announced_one_is_refused(daemon: Daemon) -> None:
    """Sockets out of step would restore one request's text for another."""
    handle, fd = daemon.shelf.blank()
    send_descriptor(daemon.socket, handle + 1, fd)
    before = psutil.Process().num_fds()
    with pytest.raises(FrameError, match="out of step"):
        daemon.pocket.receive(Hand(handle, LIMIT))
    assert psutil.Process().num_fds() == before
    daemon.shelf.drop(handle)


def test_the_end_of_the_daemon_is_noticed_while_waiting(daemon: Daemon) -> None:
    """Nothing waits for ever."""
    daemon.socket.close()
    with pytest.raises(FrameError, match="closed"):
        daemon.pocket.receive(Hand(1, LIMIT))


def send_for_ever(sock: socket.socket, handle: int, fd: int) -> None:
    while True:
        send_descriptor(sock, handle, fd)


def test_a_worker_that_reads_nothing_stops_the_sender_and_not_the_loop(daemon: Daemon) -> None:
    """The daemon's end never blocks: over what the kernel holds it is an OSError."""
    daemon.socket.setblocking(False)
    handle, fd = daemon.shelf.blank()
    with pytest.raises(OSError, match=r"unavailable|Too many"):
        send_for_ever(daemon.socket, handle, fd)
    daemon.shelf.drop(handle)
