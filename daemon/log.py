"""The daemon's log: a file that turns over, sizes and times and names, never a user's text."""

from __future__ import annotations

import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from daemon.config import Log
from daemon.errors import ConfigError

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class _PrivateFile(RotatingFileHandler):
    """Each of its files is the owner's alone; where it may have one only, that one begins anew."""

    def _open(self) -> TextIOWrapper:
        stream = super()._open()
        os.fchmod(stream.fileno(), 0o600)
        return stream

    def doRollover(self) -> None:  # noqa: N802 - the library's
        """Turn over. Without files to keep the library would let the one grow for ever."""
        super().doRollover()
        if self.stream and not self.backupCount:
            self.stream.truncate(0)


def open_log(file: Path, log: Log) -> None:
    """Send everything that is logged in this process to the file."""
    try:
        handler = _PrivateFile(
            file, maxBytes=log.file_max, backupCount=log.files - 1, encoding="utf-8"
        )
    except OSError as error:
        raise ConfigError(
            f"cannot write the log {file}: {error.strerror}. Make its folder writable."
        ) from error
    handler.setFormatter(logging.Formatter(FORMAT))
    logging.basicConfig(level=log.level.upper(), handlers=[handler], force=True)
    # pygls writes whole messages at these levels, and a message holds the user's text.
    for name in ("pygls", "asyncio", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
