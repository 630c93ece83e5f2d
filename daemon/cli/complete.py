"""`hearth complete FILE:LINE:COL`: asks for one completion the way an editor does, and prints it."""

from __future__ import annotations

import socket
import stat
import time
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.editor import Editor, Suggestion
from daemon.cli.show import colour, milliseconds, print_json
from daemon.config import load_config
from daemon.errors import DeadlineError, ModelError, UsageError
from daemon.exclusion import exclusion
from daemon.lifecycle import start_if_absent
from daemon.paths import find_home

FILE_BYTES_MAX = 32 << 20
DIGITS_MAX = 9


def command(
    place: Annotated[
        str,
        typer.Argument(
            metavar="FILE:LINE:COL",
            help="Where the cursor is: line and column count from 1, in characters.",
        ),
    ],
    popup: Annotated[
        bool,
        typer.Option("--popup", help="Ask for the completion menu's item instead of ghost text."),
    ] = False,
    timeout: Annotated[
        float,
        typer.Option(min=0.0, max=3600.0, help="Seconds to wait before giving up (exit code 7)."),
    ] = 30.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a document instead of the text.")
    ] = False,
) -> None:
    """Print the completion at a place in a file. A daemon is started if none runs.

    \b
        hearth complete src/app.py:12:5
        hearth complete src/app.py:12:5 --json --timeout 2
    """  # noqa: D301 - click wants a true backspace
    path, line, column, text = find_place(place)
    suggestion = ask(path, text, line, column, popup=popup, timeout_s=timeout)
    if as_json:
        print_json(
            {
                "schema_version": 1,
                "text": suggestion.text if suggestion else "",
                "took_ms": round(suggestion.took_ms, 1) if suggestion else None,
            }
        )
    elif suggestion is None:
        typer.echo(f"hearth: {_why_nothing(find_place(place)[0])}", err=True)
    else:
        print(suggestion.text)
        typer.echo(colour(milliseconds(suggestion.took_ms), "dim"), err=True)


def find_place(place: str) -> tuple[Path, int, int, str]:
    """`FILE:LINE:COL` as a path, a line and a column from 0, and the file's text."""
    name, line_text, column_text = _split(place)
    path = Path(name).absolute()
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{name}: is no ordinary file.")
        if path.stat().st_size > FILE_BYTES_MAX:
            raise UsageError(f"{name}: is larger than {FILE_BYTES_MAX >> 20} MiB.")
        with path.open(encoding="utf-8", newline="") as file:  # line ends as an editor sends them
            text = file.read()
    except FileNotFoundError as error:
        raise UsageError(f"{name}: no such file.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: is no UTF-8 text.") from error
    except OSError as error:
        raise UsageError(f"{name}: cannot be read: {error.strerror}.") from error
    lines = text.split("\n")
    line, column = int(line_text), int(column_text)
    if not 1 <= line <= len(lines):
        raise UsageError(f"{name} has {len(lines)} lines: there is no line {line}.")
    width = len(lines[line - 1].removesuffix("\r"))
    if not 1 <= column <= width + 1:
        raise UsageError(
            f"line {line} of {name} has columns 1 to {width + 1}: there is no column {column}."
        )
    return path, line - 1, column - 1, text


def ask(
    path: Path, text: str, line: int, column: int, *, popup: bool, timeout_s: float
) -> Suggestion | None:
    """Connect as an editor does and ask once; DeadlineError when the time is over."""
    until = time.monotonic() + timeout_s
    home = find_home()
    start_if_absent(home)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(home.lsp_socket))
        with connection.makefile("rb") as reader, connection.makefile("wb") as writer:
            editor = Editor(
                reader,
                writer,
                name="hearth complete",
                before_read=lambda: connection.settimeout(_rest(until)),
            )
            editor.initialize(path.parent, popup=popup)
            editor.open(path, text)
            asked = editor.popup if popup else editor.complete
            suggestion = asked(path, text, line, column)
            if suggestion is None and editor.status.get("kind") == "error":
                raise ModelError(f"{editor.status['message']}. `hearth doctor` says more.")
            return suggestion


def _split(place: str) -> tuple[str, str, str]:
    parts = place.rsplit(":", 2)
    numbers = all(part.isdecimal() and len(part) <= DIGITS_MAX for part in parts[1:])
    if len(parts) != 3 or not parts[0] or not numbers:
        raise UsageError(
            f"{place!r} is not FILE:LINE:COL, such as src/app.py:12:5. Lines and columns count from 1."
        )
    return parts[0], parts[1], parts[2]


def _why_nothing(path: Path) -> str:
    if exclusion(load_config(find_home().config_file).completion.exclude)(str(path)):
        return "this file is never completed: `exclude` under [completion] names it."
    return "nothing worth showing here: neither model nor look-up is sure enough."


def _rest(until: float) -> float:
    rest = until - time.monotonic()
    if rest <= 0:
        raise DeadlineError("no completion came in time; --timeout sets how long to wait.")
    return rest
