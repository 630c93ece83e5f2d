"""How results look: plain tables, sizes and times for people, colours only on a terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

_CODES = {"green": "32", "yellow": "33", "red": "31", "dim": "2", "bold": "1"}


def colour(text: str, name: str) -> str:
    """The text in a colour, where there is a terminal and nobody asked for none (NO_COLOR)."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_CODES[name]}m{text}\x1b[0m"


def print_json(document: Any) -> None:
    """One document on standard output."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


def table(rows: Sequence[Sequence[str]], *, indent: int = 2) -> str:
    """Columns as wide as they must be; the first row is the head."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    head, *rest = (" " * indent + _line(row, widths) for row in rows)
    return "\n".join([colour(head, "dim"), *rest])


def size(n_bytes: float | None) -> str:
    """Bytes as people read them."""
    if n_bytes is None:
        return "-"
    for unit in ("B", "KiB", "MiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} GiB"


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def milliseconds(value: float | None) -> str:
    """Milliseconds, or a dash where none were measured."""
    return "-" if value is None else f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


class Progress:
    """One line that changes on a terminal; elsewhere only its end is printed."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._shown = ""

    def update(self, text: str) -> None:
        """Show it in place of what was shown last."""
        if text == self._shown:
            return
        self._shown = text
        if self._live:
            print(f"\r\x1b[K{text}", end="", flush=True)

    def end(self, text: str) -> None:
        """Leave this line standing."""
        print(f"\r\x1b[K{text}" if self._live else text, flush=True)
        self._shown = ""


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()


def _width(cell: str) -> int:
    """Columns that it takes on a terminal; colours take none."""
    return len(re.sub(r"\x1b\[\d*m", "", cell))
