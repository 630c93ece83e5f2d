"""The log: bounded, and its owner's alone."""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config import Log
from daemon.log import open_log

LINE = "x" * 60


@pytest.fixture(autouse=True)
def former_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, mask = root.handlers[:], root.level, os.umask(0o022)
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    os.umask(mask)


@pytest.mark.parametrize("files", [1, 2, 3])
def test_no_more_files_than_were_allowed_and_none_larger(tmp_path: Path, files: int) -> None:
    """`[log] files` and `file_max` bound what the daemon writes, with one file as with many."""
    open_log(tmp_path / "hearth.log", Log(file_max=1_000, files=files))
    for _ in range(100):
        logging.getLogger("test").warning(LINE)
    found = list(tmp_path.iterdir())
    assert len(found) == files
    assert all(file.stat().st_size <= 1_000 for file in found)


def test_a_log_that_turned_over_is_private_too(tmp_path: Path) -> None:
    """Every file of the log can be read by its owner alone, not only the first."""
    open_log(tmp_path / "hearth.log", Log(file_max=1_000, files=3))
    for _ in range(100):
        logging.getLogger("test").warning(LINE)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
