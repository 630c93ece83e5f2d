"""A terminal (tmux on a socket of its own) whose screen a test reads."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

WAIT_S = 60.0

CONFIG = """set -g default-terminal tmux-256color
set -as terminal-overrides ',*:Tc'
set -g escape-time 0
set -g status off
set -g remain-on-exit on
"""


class Terminal:
    """100 by 30 characters; its server and whatever runs in it end with the block."""

    def __init__(self, tmux: Path, folder: Path, *, env: dict[str, str]) -> None:
        folder.mkdir()
        self._socket = folder / "s"
        self._config = folder / "tmux.conf"
        self._config.write_text(CONFIG)
        self._tmux = tmux
        self._env = env

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call("kill-server", check=False)

    def run(self, command: list[str]) -> None:
        self._call("new-session", "-d", "-x", "100", "-y", "30", "--", *command)

    def keys(self, *keys: str) -> None:
        """Each argument is a key by its tmux name, or text."""
        for key in keys:
            self._call("send-keys", key)

    def screen(self) -> str:
        return self._call("capture-pane", "-p")

    def screen_with_colours(self) -> str:
        return self._call("capture-pane", "-p", "-e")

    def until(self, text: str, *, times: int = 1) -> str:
        """The first screen that shows the text so often. tmux has no event for that: ask again."""
        late = time.monotonic() + WAIT_S
        while (screen := self.screen()).count(text) < times:
            if time.monotonic() > late:
                raise AssertionError(f"waited {WAIT_S} s for {text!r} {times}x on\n{screen}")
            self._call("run-shell", "-d", "0.05", "true")
        return screen

    def _call(self, *arguments: str, check: bool = True) -> str:
        # fmt: off
        command = [self._tmux, "-S", self._socket, "-f", self._config, *arguments]
        # fmt: on
        done = subprocess.run(
            command, env=self._env, capture_output=True, text=True, check=False, timeout=30
        )
        if check and done.returncode:
            raise AssertionError(f"tmux {arguments[0]}: {done.stderr}")
        return done.stdout
