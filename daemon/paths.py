"""Where Hearth keeps things: one `Home` value, made from the environment, handed to everyone.

Only the standard library (and platformdirs, when `HEARTH_HOME` is not set): `hearth lsp` imports this on its quick path.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import ConfigError

SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""The longest path `bind` takes: `sun_path` without its closing zero."""


@dataclass(frozen=True, slots=True)
class Home:
    """Every place that the daemon and its commands share."""

    config_file: Path
    state: Path
    run: Path
    """Sockets and the lock: of this machine and this boot."""

    @property
    def http_socket(self) -> Path:
        """Where HTTP is served to this user alone."""
        return self._socket("http.sock")

    @property
    def lsp_socket(self) -> Path:
        """Where editors connect."""
        return self._socket("lsp.sock")

    @property
    def lock_file(self) -> Path:
        """Held by the one daemon for as long as it lives."""
        return self.run / "lock"

    @property
    def log_file(self) -> Path:
        """What the daemon did; never a user's text."""
        return self.state / "hearth.log"

    @property
    def rungs_file(self) -> Path:
        """Which way of loading worked for which model on this machine."""
        return self.state / "rungs.json"

    @property
    def sockets(self) -> Path:
        """The folder of the sockets: `run`, or a short one where its path is too long to bind."""
        if len(os.fsencode(self.run / "http.sock")) <= SOCKET_PATH_BYTES:
            return self.run
        digest = hashlib.sha256(os.fsencode(self.run)).hexdigest()[:12]
        short = Path(f"hearth-{os.getuid()}-{digest}")
        folder = tempfile.gettempdir() / short
        fits = len(os.fsencode(folder / "http.sock")) <= SOCKET_PATH_BYTES
        return folder if fits else "/tmp" / short  # noqa: S108 - `prepare` checks whose it is

    def prepare(self) -> None:
        """Make the folders, for this user alone; a ConfigError names the one that cannot be."""
        for folder in dict.fromkeys((self.state, self.run, self.sockets)):
            _private_folder(folder)

    def _socket(self, name: str) -> Path:
        return self.sockets / name


def find_home(environ: Mapping[str, str] = os.environ) -> Home:
    """`HEARTH_HOME` holds everything where it is set; else the platform's conventions do."""
    if root := environ.get("HEARTH_HOME"):
        folder = _expanded(root).absolute()
        return Home(config_file=folder / "config.toml", state=folder, run=folder / "run")
    import platformdirs

    state = platformdirs.user_state_path("hearth")
    return Home(
        config_file=platformdirs.user_config_path("hearth") / "config.toml",
        state=state,
        run=_runtime(environ) or state / "run",
    )


def _expanded(root: str) -> Path:
    try:
        return Path(root).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"HEARTH_HOME is {root}: there is no such user.") from error


def _runtime(environ: Mapping[str, str]) -> Path | None:
    """A folder of this machine alone that lasts until log-out; the home itself may be on a server."""
    given = environ.get("XDG_RUNTIME_DIR")
    folder = Path(given) if given else Path(f"/run/user/{os.getuid()}")
    return folder / "hearth" if folder.is_dir() else None


def _private_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ConfigError(_unusable(folder, error.strerror or str(error))) from error
    if not stat.S_ISDIR(found.st_mode) and not folder.is_dir():
        raise ConfigError(_unusable(folder, "it is not a folder"))
    if folder.stat().st_uid != os.getuid():
        raise ConfigError(_unusable(folder, "it belongs to another user"))
    # Root may write anywhere; a folder marked read-only is still meant to be left alone.
    if not os.access(folder, os.W_OK) or not folder.stat().st_mode & stat.S_IWUSR:
        raise ConfigError(_unusable(folder, "it is read-only"))


def _unusable(folder: Path, why: str) -> str:
    return (
        f"cannot keep state in {folder}: {why}. "
        "Make it a writable folder of yours, or set HEARTH_HOME to one."
    )
