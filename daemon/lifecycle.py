"""One daemon per user: the lock it holds, how a client starts it when none runs, and how it is stopped.

    the daemon    holds an flock on `run/lock` for as long as it lives and has its pid written in it. The kernel
                  lets go of the lock when the process dies, however it dies, so that no lock is ever stale;
                  what a dead daemon leaves behind (sockets, the old pid) is overwritten by the next.
    a client      connects; when nothing answers it starts a daemon and waits for the socket. Two clients may
                  start two: the second finds the lock held and leaves, both clients end at the first.

Only the standard library: `hearth lsp` imports this on its quick path.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from daemon.errors import (
    BusyError,
    ConfigError,
    DeadlineError,
    HearthError,
    ModelError,
    NoDaemonError,
    UsageError,
)
from daemon.paths import Home

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 2.0
ASKED_S = 0.1
ENDING_S = STOP_TIMEOUT_S + 0.5
POLL_S = 0.01

COMMAND = (sys.executable, "-P", "-m", "daemon.cli.entry")
"""How to run `hearth` again. `-P`: a folder named `daemon` in the user's project must not be imported instead."""


@contextmanager
def hold_lock(home: Home) -> Iterator[None]:
    """Be the one daemon of this home; BusyError if there is one already."""
    home.prepare()
    with _open_lock(home.lock_file) as file:
        # A daemon that is ending is waited for. One that answers is not, but for the instant in which
        # a client that asks who runs holds the lock.
        wait_until(lambda: _try_lock(file) or answers(home.lsp_socket), ENDING_S)
        if not wait_until(lambda: _try_lock(file), ASKED_S):
            raise BusyError(
                f"a daemon already runs for {home.state} (process {_pid_in(file)}). "
                "See it with `hearth status`, end it with `hearth stop`."
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def running_pid(home: Home) -> int | None:
    """The process that holds the lock, if any."""
    try:
        with home.lock_file.open("r+") as file:
            return None if _try_lock(file) else _pid_in(file)
    except OSError:
        return None


def answers(path: Path) -> bool:
    """Whether somebody accepts connections on this socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def start_if_absent(
    home: Home,
    *,
    arguments: tuple[str, ...] = ("--from-editor",),
    timeout_s: float = START_TIMEOUT_S,
) -> None:
    """Return when a daemon listens for editors: the one that runs, or one started now."""
    if answers(home.lsp_socket):
        return
    home.prepare()
    with tempfile.TemporaryFile("w+") as said:
        child = spawn(home, arguments, said)
        until = time.monotonic() + timeout_s
        while not answers(home.lsp_socket):
            # Exit 5 alone is no failure: another client's daemon was faster, and its socket is on the way.
            if child.poll() is not None and running_pid(home) is None:
                raise _failure(child.returncode, said)
            if time.monotonic() > until:
                raise DeadlineError(
                    f"the daemon did not listen within {timeout_s:.0f} s. Look into {home.log_file}, "
                    "or run `hearth serve` to see it start."
                )
            time.sleep(POLL_S)
    child.returncode = 0  # it lives on; nobody waits for it


def spawn(home: Home, arguments: tuple[str, ...], said: IO[str]) -> subprocess.Popen[str]:
    """Start `hearth serve` in a session of its own; what it says before it listens goes to `said`."""
    environ = dict(os.environ)
    if "HEARTH_HOME" in environ:
        environ["HEARTH_HOME"] = str(home.state)
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [*COMMAND, "serve", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        cwd="/",
        env=environ,
        start_new_session=True,
        text=True,
    )


def stop(home: Home, *, timeout_s: float = STOP_TIMEOUT_S) -> int:
    """End the daemon with SIGTERM and wait until it is gone; its pid. HearthError if it stays."""
    wait_until(lambda: running_pid(home) != 0, ASKED_S)
    pid = running_pid(home)
    if not pid:
        raise NoDaemonError(f"no daemon runs for {home.state}: there is nothing to stop.")
    _terminate(pid)
    if not wait_until(lambda: running_pid(home) is None, timeout_s):
        raise DeadlineError(
            f"the daemon (process {pid}) did not end within {timeout_s:.0f} s. "
            f"Look into {home.log_file}; `kill -9 {pid}` ends it, and its workers with it."
        )
    return pid


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Ask until it holds, at most so long."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(POLL_S)
    return True


def _terminate(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise BusyError(f"process {pid} holds the lock and belongs to another user.") from error


def _open_lock(path: Path) -> IO[str]:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    except OSError as error:
        raise ConfigError(
            f"cannot open the lock {path}: {error.strerror}. "
            "Make its folder writable, or set HEARTH_HOME to one that is."
        ) from error


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _pid_in(file: IO[str]) -> int:
    """The pid that the holder wrote; 0 in the instant before it has."""
    file.seek(0)
    text = file.readline().strip()
    return int(text) if text.isdigit() else 0


def _failure(code: int, said: IO[str]) -> HearthError:
    """What the child said, with its own exit code."""
    said.seek(0)
    message = said.read().strip().removeprefix("hearth: ")
    if message.startswith("Traceback"):
        message = f"the daemon failed while starting: {message.splitlines()[-1]}"
    kinds = (UsageError, ConfigError, BusyError, ModelError)
    kind = next((k for k in kinds if k.exit_code == code), HearthError)
    return kind(message or f"the daemon ended with code {code} before it listened.")
