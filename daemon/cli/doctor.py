"""`hearth doctor`: looks at everything that can be wrong, and says what to do about each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.checks import Check, examine
from daemon.cli.show import colour, print_json
from daemon.paths import find_home

MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


def command(
    config: Annotated[
        Path | None, typer.Option(help="Check this file instead of the usual one.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a document instead of lines.")
    ] = False,
) -> None:
    """Check Python, llama.cpp, processor, GPU, memory, configuration, models, sockets and port.

    The exit code is 0 where nothing failed, and else that of the first failure (see `hearth --help`).
    """
    checks = examine(find_home(), config)
    if as_json:
        print_json({"schema_version": 1, "checks": [asdict(check) for check in checks]})
    else:
        print("\n".join(_lines(checks)))
    failed = [check.exit_code for check in checks if check.state == "fail"]
    raise typer.Exit(failed[0] if failed else 0)


def _lines(checks: list[Check]) -> Iterator[str]:
    for check in checks:
        mark, hue = MARKS[check.state]
        yield f"{colour(mark, hue)}  {check.name:<14} {check.detail}"
        if check.remedy:
            yield f"      {'':<14} {colour('->', 'dim')} {check.remedy}"
