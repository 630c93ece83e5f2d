"""Daemons of the measurement's own: the user's configuration with another policy, in a home that is gone afterwards.

They listen on a Unix socket alone, so that a daemon that runs already keeps its ports, sockets and lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daemon.bench.load import Target
from daemon.cli.client import get_json
from daemon.config import load_config
from daemon.errors import DeadlineError, HearthError, ModelError
from daemon.lifecycle import POLL_S, START_TIMEOUT_S, answers, spawn
from daemon.paths import Home, find_home

STOP_S = 5.0
LOAD_S_MAX = 600.0


def variant(config_file: Path, policy: str) -> str:
    """The configuration in that file (which was found sound before) with another policy and no ports."""
    raw = tomllib.loads(config_file.read_text("utf-8")) if config_file.exists() else {}
    for section, model in zip(raw.get("model", ()), load_config(config_file).model, strict=True):
        section["path"] = str(model.path)
    raw["server"] = {"http": False}
    if "log" in raw:
        raw["log"].pop("journal", None)  # what is measured is none of the user's days
    raw["scheduling"] = raw.get("scheduling", {}) | {"policy": policy}
    return "".join(f"{name} = {_inline(value)}\n" for name, value in raw.items())


@contextlib.contextmanager
def private_daemon(folder: Path, config: str) -> Iterator[Home]:
    """A daemon of this configuration with its home in that folder, ready to be asked; it ends with the block."""
    (folder / "config.toml").write_text(config, "utf-8")
    with _home_in(folder) as home, tempfile.TemporaryFile("w+") as said:
        home.prepare()
        child = spawn(home, ("--background",), said)
        with _ended_with_us(child):
            try:
                _wait_for(home, child, said)
                yield home
            finally:
                _end(child)


def find_targets(home: Home) -> tuple[Target, Target]:
    """Which model completes and which one talks, as the daemon knows them once they are loaded."""
    models = get_json(home, "/status")["models"]
    typing = _serving(models, "complete", "generate")
    talking = _serving(models, "chat", "generate")
    return _target(typing, "fim"), _target(talking, "chat")


def _serving(models: list[dict[str, Any]], *kinds: str) -> dict[str, Any]:
    able = [model for kind in kinds for model in models if kind in model["kinds"]]
    if not able:
        raise ModelError(f"no configured model serves {' or '.join(kinds)}: nothing to measure.")
    return able[0]


def _target(model: dict[str, Any], ability: str) -> Target:
    """What is not known of a model that is not resident is taken as the embedded model has it."""
    able = model[ability]
    return Target(model["name"], able is not False, model["context_tokens"] or 1024)


@contextlib.contextmanager
def _home_in(folder: Path) -> Iterator[Home]:
    """What is started meanwhile finds its home there."""
    before = os.environ.get("HEARTH_HOME")
    os.environ["HEARTH_HOME"] = str(folder)
    try:
        yield find_home()
    finally:
        if before is None:
            del os.environ["HEARTH_HOME"]
        else:
            os.environ["HEARTH_HOME"] = before


def _wait_for(home: Home, child: subprocess.Popen[str], said: Any) -> None:
    """Until it listens and has loaded what it loads first."""
    until_s = time.monotonic() + START_TIMEOUT_S
    while not answers(home.lsp_socket):
        if child.poll() is not None:
            said.seek(0)
            raise HearthError(said.read().strip().removeprefix("hearth: ") or "no daemon started")
        if time.monotonic() > until_s:
            raise DeadlineError(f"a daemon to measure did not listen in {START_TIMEOUT_S:.0f} s.")
        time.sleep(POLL_S)
    until_s = time.monotonic() + LOAD_S_MAX
    while any(model["state"] == "loading" for model in get_json(home, "/status")["models"]):
        if time.monotonic() > until_s:
            raise DeadlineError(f"a model did not load in {LOAD_S_MAX:.0f} s.")
        time.sleep(POLL_S)


@contextlib.contextmanager
def _ended_with_us(child: subprocess.Popen[str]) -> Iterator[None]:
    """Even if this process is killed: then the kernel closes the pipe on which a shell waits to kill the daemon.

    Its workers notice their daemon's end in the same way.
    """
    script = ("/bin/sh", "-c", 'read -r _; kill -9 "$0"', str(child.pid))
    with subprocess.Popen(script, stdin=subprocess.PIPE, start_new_session=True) as watcher:  # noqa: S603 - ours
        try:
            yield
        finally:
            watcher.kill()  # first of all: the number may soon be another process's


def _end(child: subprocess.Popen[str]) -> None:
    child.terminate()
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()  # its workers go with it
        child.wait()


def _inline(value: Any) -> str:
    """A value as TOML. Its strings, numbers, booleans and lists are those of JSON."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key)} = {_inline(one)}" for key, one in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
