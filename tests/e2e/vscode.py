"""A VS Code for the length of a block: code-server with fresh user data and our extension in it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from places import Editors

STOP_S = 10.0

SETTINGS = {
    "chat.disableAIFeatures": True,
    "editor.minimap.enabled": False,
    # On a busy machine the menu of the file's words can open before the ghost, and takes the Tab.
    "editor.wordBasedSuggestions": "off",
    "files.insertFinalNewline": True,
    "security.workspace.trust.enabled": False,
    "telemetry.telemetryLevel": "off",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
}


class CodeServer:
    """Fresh user data each time: an unsaved buffer of an earlier run would come back otherwise."""

    def __init__(
        self, places: Editors, folder: Path, *, program: Path, env: dict[str, str]
    ) -> None:
        self._places = places
        self._user = folder / "user"
        self._extensions = folder / "extensions"
        self._log = folder / "code-server.log"
        self._env = {
            **env,
            "PATH": f"{places.node.parent}:{env['PATH']}",
            "EXTENSIONS_GALLERY": '{"serviceUrl":""}',  # It asks nobody for extensions.
        }
        (self._user / "User").mkdir(parents=True)
        (self._user / "User/settings.json").write_text(json.dumps(SETTINGS))
        # Named, since VS Code takes its PATH from a login shell. A program's place is the machine's affair: where the
        # window is remote, as code-server's is, it counts in this file alone.
        (self._user / "Machine").mkdir()
        (self._user / "Machine/settings.json").write_text(json.dumps({"hearth.path": str(program)}))
        self._config = folder / "config.yaml"
        self._config.write_text("")
        self.url = ""

    def __enter__(self) -> Self:
        done = self._command("--install-extension", str(self._places.extension))
        installed = subprocess.run(
            done, env=self._env, capture_output=True, text=True, check=False, timeout=120
        )
        if installed.returncode:
            raise AssertionError(f"the extension does not install: {installed.stderr}")
        # fmt: off
        start = self._command(
            "--auth", "none", "--bind-addr", "127.0.0.1:0", "--disable-telemetry",
            "--disable-update-check", "--disable-workspace-trust",
            "--disable-getting-started-override",
        )
        # fmt: on
        # A group of its own: extension hosts and language servers outlive the parent otherwise.
        self._process = subprocess.Popen(
            start,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.url = self._listening_url()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._drain.join()

    def _command(self, *arguments: str) -> list[str]:
        # fmt: off
        return [
            str(self._places.code_server), *arguments, "--config", str(self._config),
            "--user-data-dir", str(self._user), "--extensions-dir", str(self._extensions),
        ]
        # fmt: on

    def _listening_url(self) -> str:
        said = []
        for line in self._process.stdout:
            said.append(line)
            if found := re.search(r"listening on (http://\S+)", line):
                self._drain = threading.Thread(target=self._keep_reading)
                self._drain.start()
                return found[1].rstrip("/") + "/"
        raise AssertionError(f"code-server did not start: {''.join(said)}")

    def _keep_reading(self) -> None:
        """Otherwise the pipe fills, and code-server waits for ever."""
        with self._log.open("w") as log:
            log.writelines(self._process.stdout)


def drive(places: Editors, plan: dict, folder: Path, *, env: dict[str, str]) -> list[dict]:
    """Run the plan in a headless Chromium; what was seen, one entry per file."""
    plan_file = folder / "plan.json"
    complete = {
        "playwright": str(places.playwright),
        "chromium": shutil.which("chromium"),
        **plan,
    }
    plan_file.write_text(json.dumps(complete))
    done = subprocess.run(
        [places.node, Path(__file__).with_name("vscode_drive.mjs"), plan_file],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    if done.returncode:
        raise AssertionError(f"driving VS Code failed:\n{done.stderr}")
    return json.loads(done.stdout)
