"""The daemon's log: a file that turns over, sizes and times and names, never a user's text."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

from daemon.config import Log
from daemon.errors import ConfigError

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def open_log(file: Path, log: Log) -> None:
    """Send everything that is logged in this process to the file."""
    try:
        handler = RotatingFileHandler(
            file, maxBytes=log.file_max, backupCount=log.files - 1, encoding="utf-8"
        )
        file.chmod(0o600)
    except OSError as error:
        raise ConfigError(
            f"cannot write the log {file}: {error.strerror}. Make its folder writable."
        ) from error
    handler.setFormatter(logging.Formatter(FORMAT))
    logging.basicConfig(level=log.level.upper(), handlers=[handler], force=True)
    # pygls writes whole messages at these levels, and a message holds the user's text.
    for name in ("pygls", "asyncio", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
