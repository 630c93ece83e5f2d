"""The daemon's shelf of parked KV: how much it keeps, what it lets go first, and that nothing can change (ENGINE.md 18)."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import psutil
import pytest

from engines import shelf as shelves
from engines.shelf import Shelf

PAGE = 4096
needs_memfd = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="seals anonymous memory")


def park(shelf: Shelf, pages: int = 1) -> int:
    handle, fd = shelf.blank()
    os.pwrite(fd, bytes(pages * PAGE), 0)
    shelf.keep(handle)
    return handle


def test_what_is_kept_is_found_until_it_is_dropped() -> None:
    """A blank is not: nothing can be restored from it."""
    shelf = Shelf(10 * PAGE)
    handle, fd = shelf.blank()
    assert shelf.find(handle) is None
    os.pwrite(fd, b"state", 0)
    assert shelf.keep(handle) == shelf.kept_bytes >= 5
    assert os.pread(shelf.find(handle), 5, 0) == b"state"
    shelf.drop(handle)
    shelf.drop(handle)
    assert shelf.find(handle) is None
    assert len(shelf) == shelf.kept_bytes == 0


def test_a_handle_is_never_used_twice() -> None:
    """What an old job names must not be somebody else's."""
    shelf = Shelf(PAGE)
    handles = []
    for _ in range(5):
        handles.append(shelf.blank()[0])
        shelf.drop(handles[-1])
    assert len(set(handles)) == 5


def test_over_the_limit_the_oldest_go_first() -> None:
    """Oldest by when they were parked, not by when their memory was handed out."""
    shelf = Shelf(4 * PAGE)
    late, late_fd = shelf.blank()
    first, second = park(shelf), park(shelf)
    os.pwrite(late_fd, bytes(PAGE), 0)
    shelf.keep(late)
    newest = park(shelf, 2)
    assert [shelf.find(h) is not None for h in (first, second, late, newest)] == [
        False,
        True,
        True,
        True,
    ]
    assert shelf.kept_bytes <= shelf.bytes_max


def test_what_alone_is_over_the_limit_is_not_kept_and_displaces_nobody() -> None:
    """Its size is the kernel's word: a worker may say what it likes."""
    shelf = Shelf(2 * PAGE)
    kept = park(shelf)
    handle, fd = shelf.blank()
    os.pwrite(fd, bytes(3 * PAGE), 0)
    assert shelf.keep(handle) is None
    assert shelf.find(kept) is not None
    assert len(shelf) == 1


def test_a_blank_that_was_not_filled_is_not_kept() -> None:
    """There is nothing to restore."""
    shelf = Shelf(PAGE)
    handle, _ = shelf.blank()
    assert shelf.keep(handle) is None
    assert len(shelf) == 0


def test_the_number_of_descriptors_has_a_limit_of_its_own() -> None:
    """A process has few of them, and small models park little."""
    shelf = Shelf(1 << 30)
    handles = [park(shelf) for _ in range(shelves.KEPT_MAX + 3)]
    assert [shelf.find(handle) is None for handle in handles[:4]] == [True, True, True, False]
    assert len(shelf) == shelves.KEPT_MAX
    for handle in handles:
        shelf.drop(handle)


@needs_memfd
def test_what_is_kept_cannot_change_any_more() -> None:
    """Its writer may be a worker that native code has broken."""
    shelf = Shelf(10 * PAGE)
    handle, fd = shelf.blank()
    worker = os.dup(fd)
    os.pwrite(worker, b"state", 0)
    shelf.keep(handle)
    for change in (
        lambda: os.pwrite(worker, b"other", 0),
        lambda: os.ftruncate(worker, 1),
        lambda: os.ftruncate(worker, 10 * PAGE),
        lambda: mmap.mmap(worker, 5),
    ):
        with pytest.raises(OSError, match="not permitted"):
            change()
    os.close(worker)
    shelf.drop(handle)


@needs_memfd
def test_what_its_writer_still_has_mapped_is_not_kept() -> None:
    """It could change under the next worker's eyes."""
    shelf = Shelf(10 * PAGE)
    handle, fd = shelf.blank()
    os.ftruncate(fd, PAGE)
    with mmap.mmap(fd, PAGE):
        assert shelf.keep(handle) is None
    assert len(shelf) == 0


@needs_memfd
def test_it_has_no_name_and_no_child_inherits_it() -> None:
    """No text of a user's reaches a file system."""
    shelf = Shelf(PAGE)
    handle, fd = shelf.blank()
    assert os.fstat(fd).st_nlink == 0
    assert str(Path(f"/proc/self/fd/{fd}").readlink()).startswith("/memfd:")
    assert not os.get_inheritable(fd)
    shelf.drop(handle)


def test_without_anonymous_memory_it_is_a_file_that_nobody_finds(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    """Unlinked at once, and its owner's alone while it had a name."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shelf = Shelf(10 * PAGE)
    handle, fd = shelf.blank()
    assert os.fstat(fd).st_nlink == 0
    assert os.fstat(fd).st_mode & 0o777 == 0o600
    assert not os.get_inheritable(fd)
    os.pwrite(fd, b"state", 0)
    assert shelf.keep(handle) >= 5
    assert list(tmp_path.iterdir()) == []
    shelf.drop(handle)


@pytest.mark.skipif(not hasattr(psutil.Process, "num_fds"), reason="counts descriptors")
def test_no_descriptor_is_left() -> None:
    """Whichever way something leaves the shelf."""
    before = psutil.Process().num_fds()
    shelf = Shelf(3 * PAGE)
    handles = [park(shelf) for _ in range(5)]
    park(shelf, 4)
    handles.append(shelf.blank()[0])
    for handle in handles:
        shelf.drop(handle)
    assert psutil.Process().num_fds() == before
