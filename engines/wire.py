"""Frames between daemon and worker: a length, a model's name, one typed value (msgpack, decoded strictly).

Downward go `Begin`, `Submit`, `Withdraw`, `Park`, `Pause`, `Unpause`, `Hand` and `Lend`; upward the frames of `engine.py` and `Tested`.
A private socket pair carries them, never the child's stdout, where native code prints (ENGINE.md 1). Every frame
names its model, so that a worker which hosts several stays possible (ENGINE.md 2).

A second socket pair carries descriptors, downward only, because asyncio's transports cannot. Each goes ahead of the
frame that announces it (`Hand`, `Lend`), so that whoever has read the frame never waits for the descriptor.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Generic, TypeAlias, TypeVar

import msgspec

from engines.engine import Died, Job, Loaded, LoadFailed, Loading, Prepared, Stepped, Stopped
from engines.spec import ModelSpec

FRAME_BYTES_MAX = 64 << 20
"""A longer frame is a broken peer. The longest real one is a job whose prompt fills the largest HTTP body."""

_HEAD = struct.Struct("<I")
_HANDLE = struct.Struct("<Q")
"""What travels beside a descriptor: two sockets that fell out of step are noticed."""


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """The first frame down: load this model on this rung; `self_test` asks for a `Tested` before `Loaded`."""

    spec: ModelSpec
    rung: str
    self_test: bool = False


class Submit(msgspec.Struct, frozen=True, tag="submit"):
    """A job."""

    job: Job


class Withdraw(msgspec.Struct, frozen=True, tag="withdraw"):
    """Stop working on a request."""

    request_id: int


class Park(msgspec.Struct, frozen=True, tag="park"):
    """Stop working on a request, and keep what was computed for it."""

    request_id: int


class Pause(msgspec.Struct, frozen=True, tag="pause"):
    """Let work less urgent than `below` rest, but for a step of it in `progress_s`; it holds for this worker's life."""

    below: float
    progress_s: float


class Unpause(msgspec.Struct, frozen=True, tag="unpause"):
    """Let everything go on."""


class Hand(msgspec.Struct, frozen=True, tag="hand"):
    """An empty descriptor to park in, of so many bytes at most; a live worker has one for each job that may run (ENGINE.md 18)."""

    handle: int
    bytes_max: int


class Lend(msgspec.Struct, frozen=True, tag="lend"):
    """A filled descriptor to restore from: the next `Submit` names it."""

    handle: int


class Tested(msgspec.Struct, frozen=True, tag="tested"):
    """What the self-test saw: for each probe the best token and how far the runner-up was behind."""

    best: tuple[int, ...] = ()
    margin: tuple[float, ...] = ()
    vectors: tuple[tuple[float, ...], ...] = ()
    """Of a model that makes vectors, those of the probes; of length 1."""


class Aboard(msgspec.Struct, frozen=True, tag="aboard"):
    """Who shares the step that begins now: should the worker die in it, one of these is to blame (ENGINE.md 22)."""

    request_ids: tuple[int, ...]


Down: TypeAlias = Begin | Submit | Withdraw | Park | Pause | Unpause | Hand | Lend
Up: TypeAlias = (
    Prepared | Stepped | Stopped | Loading | Loaded | LoadFailed | Died | Tested | Aboard
)

T = TypeVar("T")


class FrameError(Exception):
    """The peer sent what is no frame."""


def pack(model: str, frame: Down | Up) -> bytes:
    """Encode one frame with its length in front. FrameError for one that the other side would not take."""
    try:
        body = _encoded((model, frame))
    except OverflowError as error:
        raise FrameError("a number is beyond 64 bits") from error
    if len(body) > FRAME_BYTES_MAX:
        raise FrameError(f"a frame of {len(body):,} bytes is over the limit")
    return _HEAD.pack(len(body)) + body


def _encoded(value: object) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except UnicodeEncodeError:
        # Half of a surrogate pair: editors send such text, UTF-8 has no place for it.
        return msgspec.msgpack.encode(_mended(msgspec.to_builtins(value)))


def _mended(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case list() | tuple():
            return [_mended(item) for item in value]
        case dict():
            return {key: _mended(item) for key, item in value.items()}
    return value


class Unpacker(Generic[T]):
    """Turns a stream of bytes into (model, frame) pairs."""

    def __init__(self, kind: type[tuple[str, T]]) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[str, T]]:
        """Take bytes; yield every frame that is now whole. FrameError when the stream is broken."""
        self._buffer += data
        while len(self._buffer) >= _HEAD.size:
            (length,) = _HEAD.unpack_from(self._buffer)
            if length > FRAME_BYTES_MAX:
                raise FrameError(f"a frame of {length:,} bytes is over the limit")
            end = _HEAD.size + length
            if len(self._buffer) < end:
                return
            body = bytes(memoryview(self._buffer)[_HEAD.size : end])
            del self._buffer[:end]
            try:
                yield self._decoder.decode(body)
            except msgspec.MsgspecError as error:
                raise FrameError(f"not a frame: {error}") from error


def reads_down() -> Unpacker[Down]:
    """What the worker reads with."""
    return Unpacker(tuple[str, Down])


def reads_up() -> Unpacker[Up]:
    """What the daemon reads with."""
    return Unpacker(tuple[str, Up])


def send_descriptor(sock: socket.socket, handle: int, fd: int) -> None:
    """Send a copy of a descriptor. OSError where the peer is gone, or has left too many unread."""
    socket.send_fds(sock, [_HANDLE.pack(handle)], [fd])


def receive_descriptor(sock: socket.socket, handle: int) -> int:
    """Wait for the next descriptor, which must be that of `handle`; no child inherits it. FrameError if it is not."""
    data, fds, _, _ = socket.recv_fds(sock, _HANDLE.size, 1)
    for fd in fds:
        os.set_inheritable(fd, False)  # noqa: FBT003 -- the library's
    if len(fds) != 1 or data != _HANDLE.pack(handle):
        for fd in fds:
            os.close(fd)
        raise FrameError("the socket of descriptors is closed, or out of step with the frames")
    return fds[0]
