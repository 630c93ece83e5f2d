"""The worker's pocket: descriptors that the daemon gave it, empty ones to park in and filled ones to restore from.

The memory is the daemon's, because parked KV outlives the worker (ENGINE.md 18). One thread fills the pocket, another
empties it: a deque and a dict do each of these in one step, so nothing is locked. Every descriptor is closed when
it is used up.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from engines import parking
from engines.engine import Parked
from engines.parking import Fill, Geometry, ParkedError, Saved
from engines.wire import Hand, Lend, receive_descriptor


@dataclass(frozen=True, slots=True)
class _Empty:
    handle: int
    fd: int
    bytes_max: int


class Pocket:
    """`receive` is called by the thread that reads frames, everything else by the one that steps."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._empty: deque[_Empty] = deque()
        self._lent: dict[int, int] = {}

    def receive(self, frame: Hand | Lend) -> None:
        """Take the descriptor that this frame announces. FrameError or OSError: the daemon is gone."""
        fd = receive_descriptor(self._sock, frame.handle)
        match frame:
            case Hand(handle, bytes_max):
                self._empty.append(_Empty(handle, fd, bytes_max))
            case Lend(handle):
                self._lent[handle] = fd

    def save(
        self, geometry: Geometry, tokens: Sequence[int], state_bytes: int, fill: Fill
    ) -> Parked:
        """Park a state of so many bytes in the empty descriptor. After a ParkedError that is still at hand."""
        if not self._empty:
            raise ParkedError("there is no memory at hand to park it in")
        empty = self._empty[0]
        size_bytes = parking.write(
            empty.fd, geometry, tokens, state_bytes, fill, bytes_max=empty.bytes_max
        )
        self._empty.popleft()
        os.close(empty.fd)
        return Parked(empty.handle, len(tokens), size_bytes)

    def restore(self, handle: int, geometry: Geometry) -> Saved:
        """Open what was lent. ParkedError where it was not, or does not fit; it is used up in any case."""
        fd = self._lent.pop(handle, None)
        if fd is None:
            raise ParkedError("it is no longer kept")
        try:
            return parking.read(fd, geometry)
        finally:
            os.close(fd)

    def forget(self, handle: int) -> None:
        """Let go of what was lent to a job that ended before it was restored; harmless when it is gone."""
        fd = self._lent.pop(handle, None)
        if fd is not None:
            os.close(fd)
