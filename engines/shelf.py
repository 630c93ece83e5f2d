"""The daemon's shelf: memory for parked KV, which outlives the worker that wrote it (ENGINE.md 18).

    blank ──keep──> kept ──drop (used, replaced, its request has ended, too much is kept)──> gone
      └──drop (its worker is gone)──> gone

1. Nothing of it has a name in any file system: anonymous memory, or where there is none a file that is unlinked at
   once and readable to nobody else.
2. How large something is says the kernel, never the worker that wrote it.
3. What is kept cannot change any more: the memory is sealed, and what its writer still holds open for writing is
   not kept. (A file, where there is no anonymous memory, cannot be sealed.)
4. Over either limit the oldest go first. Losing one costs its request a prefill, and nothing else.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from dataclasses import dataclass

KEPT_MAX = 256
"""States that are kept at once, however small: each holds a descriptor, of which a process has few."""


@dataclass(slots=True)
class _Kept:
    fd: int
    size_bytes: int


class Shelf:
    """Descriptors by handle, up to `bytes_max` in all. A handle is never used twice."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._blanks: dict[int, int] = {}
        self._kept: dict[int, _Kept] = {}
        """In the order in which they were parked."""
        self._next = 1

    def __len__(self) -> int:
        return len(self._blanks) + len(self._kept)

    @property
    def kept_bytes(self) -> int:
        """Memory that parked states take now."""
        return sum(kept.size_bytes for kept in self._kept.values())

    def blank(self) -> tuple[int, int]:
        """Open empty memory; return its handle and descriptor, which stays the shelf's. OSError where none can be had."""
        fd = _open()
        handle, self._next = self._next, self._next + 1
        self._blanks[handle] = fd
        return handle, fd

    def keep(self, handle: int) -> int | None:
        """Keep a blank that was filled; return its true size in bytes, or None: it cannot be kept, and is gone."""
        fd = self._blanks.pop(handle)
        size_bytes = _sealed_bytes(fd)
        if not 0 < size_bytes <= self.bytes_max:
            os.close(fd)
            return None
        self._kept[handle] = _Kept(fd, size_bytes)
        self._make_room()
        return size_bytes

    def find(self, handle: int) -> int | None:
        """The descriptor of something kept, which stays the shelf's; None where it is no longer kept."""
        kept = self._kept.get(handle)
        return kept.fd if kept else None

    def drop(self, handle: int) -> None:
        """Free it, blank or kept; harmless when it is gone."""
        kept = self._kept.pop(handle, None)
        fd = kept.fd if kept else self._blanks.pop(handle, None)
        if fd is not None:
            os.close(fd)

    def _make_room(self) -> None:
        while self.kept_bytes > self.bytes_max or len(self._kept) > KEPT_MAX:
            self.drop(next(iter(self._kept)))


def _open() -> int:
    """Rule 1. No child inherits it: what a worker is to have is sent to it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("hearth-parked", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile(prefix="hearth-parked-") as file:
        return os.dup(file.fileno())


def _sealed_bytes(fd: int) -> int:
    """Rules 2 and 3: how much memory it takes from now on; 0 where it could still change."""
    if hasattr(os, "memfd_create"):
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
        try:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        except OSError:  # its writer has it mapped
            return 0
    status = os.fstat(fd)
    return max(status.st_size, status.st_blocks * 512)
