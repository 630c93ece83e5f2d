"""`hearth stop`: ends the daemon and waits until it is gone."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from daemon.cli.show import print_json
from daemon.lifecycle import stop
from daemon.paths import find_home


def command(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a document instead of a line.")
    ] = False,
) -> None:
    """End the daemon, with its workers. Editors that still run start a new one when they next ask."""
    started = time.monotonic()
    pid = stop(find_home())
    took_ms = round((time.monotonic() - started) * 1000)
    if as_json:
        print_json({"schema_version": 1, "pid": pid, "took_ms": took_ms})
    else:
        print(f"The daemon (process {pid}) ended in {took_ms} ms.")
