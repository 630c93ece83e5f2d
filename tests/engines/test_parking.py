"""Parked KV as a file: what was written comes back, and nothing else is ever restored (ENGINE.md 18)."""

from __future__ import annotations

import ctypes
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.parking import Fill, Geometry, ParkedError, read, write

GEOMETRY = Geometry("qwen2", "/m.gguf", 1_000_000, 17, 24, "f16", "on", "0.3.36")
TOKENS = (1, 151_643, -1, 7)
STATE = bytes(range(256)) * 5
LIMIT = 1 << 20
HEAD_BYTES = 32


@pytest.fixture
def fd() -> Iterator[int]:
    number = empty()
    yield number
    os.close(number)


def empty() -> int:
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def filling(state: bytes) -> Fill:
    """What llama.cpp does: write a state where it is told to."""

    def fill(address: int, size_bytes: int) -> int:
        assert size_bytes >= len(state)
        ctypes.memmove(address, state, len(state))
        return len(state)

    return fill


def save(fd: int, state: bytes = STATE, **other: object) -> int:
    given = {"bytes_max": LIMIT, **other}
    return write(fd, GEOMETRY, TOKENS, len(state), filling(state), **given)


def content(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


def replace(fd: int, data: bytes) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, data, 0)


def test_what_was_saved_comes_back(fd: int) -> None:
    """Tokens and state, byte for byte; the size that is told is the file's."""
    assert save(fd) == os.fstat(fd).st_size
    with read(fd, GEOMETRY) as saved:
        assert saved.tokens == TOKENS
        assert ctypes.string_at(saved.address, saved.size_bytes) == STATE


def test_it_can_be_read_when_its_descriptor_is_closed() -> None:
    """A restore keeps no descriptor; `close` lets go of the memory."""
    number = empty()
    save(number)
    saved = read(number, GEOMETRY)
    os.close(number)
    assert ctypes.string_at(saved.address, saved.size_bytes) == STATE
    saved.close()


@pytest.mark.parametrize("name", Geometry.__struct_fields__)
def test_another_geometry_is_refused(fd: int, name: str) -> None:
    """ENGINE.md 18: each field counts, and the reason names the one that differs and no path."""
    save(fd)
    value = getattr(GEOMETRY, name)
    other = msgspec.structs.replace(GEOMETRY, **{name: value + type(value)(1)})
    with pytest.raises(ParkedError, match=name) as caught:
        read(fd, other)
    assert "gguf" not in str(caught.value)


def test_what_is_empty_or_cut_short_is_refused(fd: int) -> None:
    """At every length: no byte is read beyond the size that the kernel tells."""
    with pytest.raises(ParkedError, match="empty"):
        read(fd, GEOMETRY)
    whole = save(fd)
    data = content(fd)
    for length in range(whole):
        replace(fd, data[:length])
        with pytest.raises(ParkedError):
            read(fd, GEOMETRY)
    replace(fd, data + b"\0")
    with pytest.raises(ParkedError, match="size"):
        read(fd, GEOMETRY)


def test_a_changed_byte_before_the_state_is_noticed(fd: int) -> None:
    """Each of them: lengths, checksum, geometry, tokens."""
    save(fd)
    data = content(fd)
    shape_bytes, n_tokens = struct.unpack_from("<II", data, 12)
    for at in range(HEAD_BYTES + shape_bytes + 4 * n_tokens):
        replace(fd, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(ParkedError):
            read(fd, GEOMETRY)


@given(st.binary(max_size=400))
def test_garbage_is_refused_in_words(data: bytes) -> None:
    """Whatever the memory holds, the answer is a ParkedError."""
    number = empty()
    try:
        replace(number, data)
        with pytest.raises(ParkedError):
            read(number, GEOMETRY)
    finally:
        os.close(number)


@given(
    shape=st.integers(0, 2**32 - 1),
    tokens=st.integers(0, 2**32 - 1),
    state=st.integers(0, 2**64 - 1),
)
def test_no_length_in_the_file_is_believed(shape: int, tokens: int, state: int) -> None:
    """A head whose checksum is right and whose lengths are not leads nowhere."""
    lengths = struct.pack("<8sIIIQ", b"HEARTHKV", 1, shape, tokens, state)
    number = empty()
    try:
        replace(number, lengths + struct.pack("<I", zlib.crc32(lengths)) + bytes(200))
        with pytest.raises(ParkedError):
            read(number, GEOMETRY)
    finally:
        os.close(number)


def test_what_was_never_finished_is_no_file(fd: int) -> None:
    """A worker that dies while llama.cpp writes leaves nothing that could be restored."""
    seen: list[bytes] = []

    def fill(address: int, size_bytes: int) -> int:
        seen.append(content(fd))
        return filling(STATE)(address, size_bytes)

    write(fd, GEOMETRY, TOKENS, len(STATE), fill, bytes_max=LIMIT)
    replace(fd, seen[0])
    with pytest.raises(ParkedError, match="never finished"):
        read(fd, GEOMETRY)


def raising(error: Exception) -> Fill:
    def fill(_address: int, _size_bytes: int) -> int:
        raise error

    return fill


@pytest.mark.parametrize(
    ("fill", "words"),
    [(lambda _a, _n: 3, "wrote 3 of 1,280"), (raising(OSError(28, "No space")), "No space")],
)
def test_a_save_that_fails_leaves_the_memory_empty(fd: int, fill: Fill, words: str) -> None:
    """So that the descriptor can be used again."""
    with pytest.raises(ParkedError, match=words):
        write(fd, GEOMETRY, TOKENS, len(STATE), fill, bytes_max=LIMIT)
    assert os.fstat(fd).st_size == 0
    save(fd)


def test_more_than_is_allowed_is_not_begun(fd: int) -> None:
    """The limit is asked before any memory is taken."""
    size = save(fd)
    replace(fd, b"")
    with pytest.raises(ParkedError, match="allowed"):
        save(fd, bytes_max=size - 1)
    assert os.fstat(fd).st_size == 0


def test_no_token_and_no_state_are_a_file_too(fd: int) -> None:
    """The smallest of all: an empty sequence."""
    write(fd, GEOMETRY, (), 0, lambda _a, _n: 0, bytes_max=LIMIT)
    with read(fd, GEOMETRY) as saved:
        assert (saved.tokens, saved.size_bytes) == ((), 0)


def test_what_cannot_be_mapped_is_refused_in_words(tmp_path: Path) -> None:
    """A restore that fails costs time; an error of the system's must not end the worker."""
    (tmp_path / "state").write_bytes(bytes(100))
    fd = os.open(tmp_path / "state", os.O_WRONLY)
    with pytest.raises(ParkedError, match="cannot be mapped"):
        read(fd, GEOMETRY)
    os.close(fd)
