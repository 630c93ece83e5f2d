"""Real daemons in homes of their own; every one that a test starts is gone after it."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from daemon.lifecycle import COMMAND, running_pid, start_if_absent, wait_until
from daemon.paths import Home, find_home

PATIENCE_S = 60.0


@dataclass
class Hearth:
    """A home, and the `hearth` command in it."""

    home: Home
    environ: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def configure(self, text: str) -> Path:
        self.home.config_file.write_text(text)
        return self.home.config_file

    def run(self, *arguments: str, timeout: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def spawn(self, *arguments: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [*COMMAND, *arguments],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(child)
        return child

    def start(self) -> int:
        """A daemon as an editor starts it; its pid."""
        start_if_absent(self.home)
        pid = running_pid(self.home)
        assert pid
        return pid

    def status(self) -> dict[str, Any]:
        answer = self.run("status", "--json")
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    def end(self) -> None:
        for child in self.started:
            if child.poll() is None:
                child.kill()
            child.communicate()
        # Not only the daemon that holds the lock: of two that started at once, one may still wait for it.
        for daemon in self.daemons():
            with contextlib.suppress(psutil.NoSuchProcess):
                daemon.kill()
        assert wait_until(lambda: not self.daemons(), PATIENCE_S)

    def daemons(self) -> list[psutil.Process]:
        """Every live process that would be, or is, the daemon of this home."""
        return [process for process in psutil.process_iter() if self._is_daemon(process)]

    def _is_daemon(self, process: psutil.Process) -> bool:
        try:
            ours = process.environ().get("HEARTH_HOME") == self.environ["HEARTH_HOME"]
            return ours and "serve" in process.cmdline() and process.status() != "zombie"
        except psutil.Error:
            return False


@pytest.fixture
def hearth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hearth]:
    root = tmp_path / "h"
    root.mkdir()
    monkeypatch.setenv("HEARTH_HOME", str(root))
    monkeypatch.setenv("COLUMNS", "200")
    one = Hearth(find_home(), dict(os.environ))
    one.configure("[server]\nport = 0\n")
    yield one
    one.end()
