"""A daemon in a home of its own for measuring, and its end."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon.lifecycle import COMMAND, running_pid, start_if_absent, wait_until
from daemon.paths import Home, find_home


@dataclass
class Daemon:
    """What a measurement needs to know of it."""

    home: Home
    environ: dict[str, str]
    pid: int

    def hearth(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line in this home."""
        return subprocess.run(
            [*COMMAND, *arguments], env=self.environ, capture_output=True, text=True, check=False
        )


@contextlib.contextmanager
def daemon(config: str = "[server]\nport = 0\n") -> Iterator[Daemon]:
    """Start a daemon with this configuration; stop it afterwards."""
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder:
        os.environ["HEARTH_HOME"] = folder
        (Path(folder) / "config.toml").write_text(config)
        home = find_home()
        start_if_absent(home)
        pid = running_pid(home)
        assert pid, "the daemon did not start"
        one = Daemon(home, dict(os.environ), pid)
        try:
            yield one
        finally:
            one.hearth("stop")
            wait_until(lambda: running_pid(home) is None, 10)


def python() -> str:
    """The interpreter that has Hearth."""
    return sys.executable
