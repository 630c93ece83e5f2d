"""Parked KV as a file: which model it belongs to, the tokens it stands for, and llama.cpp's own state of one sequence.

    head: magic, version, lengths, checksum │ geometry (msgpack) │ tokens (int32) │ padding │ state

A state restored into a context of another shape would be silent corruption (ENGINE.md 18), so the geometry must be
equal in every field. The reader trusts no length beyond the size that the kernel tells. The checksum covers all but
the state: a sum over that would double the time on many machines, while the shelf seals the memory once it is written.
The beginning is written last, so that what was not finished is no file.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Self, TypeAlias

import msgspec
import numpy as np

Fill: TypeAlias = Callable[[int, int], int]
"""`fill(address, size_bytes)` writes a state there and returns how many bytes it has written."""

_MAGIC = b"HEARTHKV"
_VERSION = 1
_LENGTHS = struct.Struct("<8sIIIQ")
"""Magic, version, bytes of the geometry, tokens, bytes of the state."""
_CHECKSUM = struct.Struct("<I")
_HEAD_BYTES = _LENGTHS.size + _CHECKSUM.size
_TOKEN = np.dtype("<i4")
_ALIGNMENT = 64


class ParkedError(Exception):
    """A state cannot be saved, or not be restored here; the message says why, without a word of any prompt."""


class Geometry(msgspec.Struct, frozen=True):
    """Everything that must be the same for a restore to be safe."""

    architecture: str
    path: str
    file_bytes: int
    file_mtime_ns: int
    """With path and size, which file it is: two fine-tunes may be equally large."""
    layers: int
    kv_type: str
    flash_attention: str
    """Whether it is on: values lie the other way round without it."""
    build: str
    """Version of llama.cpp's bindings: the format of a state is the library's own affair."""


class Saved:
    """A state that can be restored: its tokens, and where llama.cpp finds it. Close it afterwards."""

    def __init__(self, memory: mmap.mmap, tokens: tuple[int, ...], start: int) -> None:
        self.tokens = tokens
        self.address = _address(memory) + start
        self.size_bytes = len(memory) - start
        self._memory = memory

    def close(self) -> None:
        """Let go of the memory; `address` is dead then."""
        self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write(
    fd: int,
    geometry: Geometry,
    tokens: Sequence[int],
    state_bytes: int,
    fill: Fill,
    *,
    bytes_max: int,
) -> int:
    """Write a whole file into an empty descriptor; return its size in bytes. After a ParkedError it is empty again."""
    head = _head(geometry, tokens, state_bytes)
    start = _aligned(len(head))
    size_bytes = start + state_bytes
    if size_bytes > bytes_max:
        raise ParkedError(f"it takes {size_bytes:,} bytes, and {bytes_max:,} are allowed")
    with _emptied_on_failure(fd):
        _reserve(fd, size_bytes)
        with mmap.mmap(fd, size_bytes) as memory:
            written = fill(_address(memory) + start, state_bytes)
            if written != state_bytes:
                raise ParkedError(f"llama.cpp wrote {written:,} of {state_bytes:,} bytes")
            memory[: len(head)] = head
    return size_bytes


def read(fd: int, geometry: Geometry) -> Saved:
    """Map a file for a restore. ParkedError where it is not whole, or was saved by another geometry."""
    size_bytes = os.fstat(fd).st_size
    if size_bytes < _HEAD_BYTES:
        raise ParkedError("it is empty" if not size_bytes else "it is cut short")
    try:
        # Private: a shared mapping of sealed memory is refused by kernels before 6.7, even for reading.
        memory = mmap.mmap(fd, size_bytes, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    except OSError as error:
        raise ParkedError(f"it cannot be mapped: {error.strerror}") from error
    try:
        return _parsed(memory, geometry)
    except BaseException:
        memory.close()
        raise


def _head(geometry: Geometry, tokens: Sequence[int], state_bytes: int) -> bytes:
    shape = msgspec.msgpack.encode(geometry)
    lengths = _LENGTHS.pack(_MAGIC, _VERSION, len(shape), len(tokens), state_bytes)
    body = shape + np.asarray(tokens, _TOKEN).tobytes()
    return lengths + _CHECKSUM.pack(_checksum(lengths, body)) + body


def _parsed(memory: mmap.mmap, geometry: Geometry) -> Saved:
    magic, version, shape_bytes, n_tokens, state_bytes = _LENGTHS.unpack_from(memory)
    if (magic, version) != (_MAGIC, _VERSION):
        raise ParkedError("it is no parked state, or one that was never finished")
    tokens_at = _HEAD_BYTES + shape_bytes
    end = tokens_at + n_tokens * _TOKEN.itemsize
    if _aligned(end) + state_bytes != len(memory):
        raise ParkedError("its size is not what it says")
    body = memory[_HEAD_BYTES:end]
    (checksum,) = _CHECKSUM.unpack_from(memory, _LENGTHS.size)
    if checksum != _checksum(memory[: _LENGTHS.size], body):
        raise ParkedError("it is damaged")
    _compare(_geometry(body[:shape_bytes]), geometry)
    tokens = np.frombuffer(body, _TOKEN, n_tokens, shape_bytes)
    return Saved(memory, tuple(tokens.tolist()), _aligned(end))


def _geometry(shape: bytes) -> Geometry:
    try:
        return msgspec.msgpack.decode(shape, type=Geometry)
    except msgspec.MsgspecError as error:
        raise ParkedError("its geometry cannot be read") from error


def _compare(saved: Geometry, here: Geometry) -> None:
    names = Geometry.__struct_fields__
    other = [name for name in names if getattr(saved, name) != getattr(here, name)]
    if other:
        raise ParkedError(f"it was saved with another {', '.join(other)}")


def _checksum(lengths: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(lengths))


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


def _address(memory: mmap.mmap) -> int:
    """Return where it is mapped. NumPy tells it of memory that is only readable, too; ctypes would not."""
    return int(np.frombuffer(memory, np.uint8).ctypes.data)


def _reserve(fd: int, size_bytes: int) -> None:
    """Take the memory now: a page that cannot be had when it is first touched would kill the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size_bytes)
    else:  # macOS
        os.ftruncate(fd, size_bytes)


@contextlib.contextmanager
def _emptied_on_failure(fd: int) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        os.ftruncate(fd, 0)
        if isinstance(error, OSError):
            raise ParkedError(f"there is no memory for it: {error.strerror}") from error
        raise
