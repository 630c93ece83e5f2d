"""`hearth serve`: the daemon, in the foreground or started for good."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon import __version__
from daemon.cli.client import get_json
from daemon.cli.show import Progress, colour
from daemon.errors import BusyError, HearthError, ModelError
from daemon.lifecycle import hold_lock, running_pid, start_if_absent
from daemon.paths import Home, find_home

if TYPE_CHECKING:
    from daemon.doors import Doors
    from daemon.snapshot import ModelSnapshot

POLL_S = 0.05

log = logging.getLogger(__name__)


def command(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Use this configuration instead of the usual one."),
    ] = None,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach", help="Start in the background; return when the models are loaded."
        ),
    ] = False,
    background: Annotated[bool, typer.Option("--background", hidden=True)] = False,
    from_editor: Annotated[bool, typer.Option("--from-editor", hidden=True)] = False,
) -> None:
    """Run the daemon: for editors on its socket, for other clients at http://127.0.0.1:8012.

    In the foreground it says what it does until Ctrl-C; with --detach it goes on in the background and
    `hearth stop` ends it. Editors start it by themselves when none runs.
    """
    home = find_home()
    if detach:
        _detach(home, config)
    else:
        _run(home, config, quiet=background or from_editor, from_editor=from_editor)


def _run(home: Home, config_file: Path | None, *, quiet: bool, from_editor: bool) -> None:
    from daemon.config import load_config
    from daemon.log import open_log
    from daemon.model_files import inspect_all

    config = load_config(config_file or home.config_file, required=config_file is not None)
    headers = inspect_all(config.models)
    with hold_lock(home):
        open_log(home.log_file, config.log)
        from daemon.wiring import serve

        console = _Quiet() if quiet else _Console()
        try:
            asyncio.run(serve(config, headers, home, console, needs_ports=not from_editor))
        except HearthError:
            raise
        except Exception:
            log.exception("the daemon failed")
            raise


def _detach(home: Home, config_file: Path | None) -> None:
    if pid := running_pid(home):
        raise BusyError(f"a daemon already runs (process {pid}). `hearth stop` ends it.")
    chosen = () if config_file is None else ("--config", str(config_file.absolute()))
    start_if_absent(home, arguments=("--background", *chosen))
    progress = Progress()
    while waiting := [m for m in _models(home) if m["state"] == "loading"]:
        progress.update(_loading(waiting[0]["name"], waiting[0].get("progress")))
        time.sleep(POLL_S)
    failed = [m for m in _models(home) if m["state"] == "failed"]
    if failed:
        raise ModelError(f'model "{failed[0]["name"]}" could not be loaded: {failed[0]["detail"]}')
    ready = [m["name"] for m in _models(home) if m["state"] == "ready"]
    progress.end(
        f"The daemon runs (process {running_pid(home)}); ready: {', '.join(ready) or 'no model yet'}."
    )


def _models(home: Home) -> list[dict[str, Any]]:
    models: list[dict[str, Any]] = get_json(home, "/status")["models"]
    return models


def _loading(name: str, progress: float | None) -> str:
    return f"loading {name}" + (f"  {progress:4.0%}" if progress is not None else "")


class _Console:
    """Says on standard output where the daemon listens and how its models come up."""

    def __init__(self) -> None:
        self._progress = Progress()
        self._phases: dict[str, str] = {}

    def listening(self, doors: Doors) -> None:
        """Sockets and port are open."""
        print(colour(f"Hearth {__version__}", "bold") + f", process {os.getpid()}")
        print(f"  editors   {doors.home.lsp_socket}")
        print(f"  HTTP      {doors.home.http_socket}")
        if doors.http_url:
            print(f"            {doors.http_url}")
        for notice in doors.notices:
            print(f"  {colour('note', 'yellow')}      {notice}")
        sys.stdout.flush()

    def model(self, model: ModelSnapshot) -> None:
        """A model's phase or progress may have changed."""
        if model.phase == "loading":
            self._progress.update(_loading(model.name, model.progress))
        if self._phases.get(model.name) == model.phase:
            return
        self._phases[model.name] = model.phase
        if model.phase == "ready" and model.loaded:
            took = f"{model.loaded.load_s:.1f} s ({model.loaded.rung})"
            self._progress.end(f"{model.name} ready in {took}")
        elif model.phase == "failed":
            self._progress.end(f"{model.name} {colour('failed', 'red')}: {model.detail}")


class _Quiet:
    """Once it listens, nobody reads what a background process prints."""

    def listening(self, doors: Doors) -> None:  # noqa: ARG002 - a `Console`
        """Let go of the starter's file: native code prints for ever."""
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        os.close(nothing)

    def model(self, model: ModelSnapshot) -> None:
        """`hearth serve --detach` asks /status instead."""
