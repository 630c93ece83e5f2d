"""Stop where the block ends that the cursor is in, told by indentation alone.

1. A row less indented than the cursor's line has left the block.
2. On a line with text, a row as much indented begins another statement, unless it closes or continues
   this one (a closing bracket, `else`, `end`).
3. On a blank line, rows as much indented are the same block until an empty row comes between.
"""

from __future__ import annotations

import re

from lsp.shaping.place import Place, indent_of

_TELLING_CHARS = 8
_CONTINUES = re.compile(
    r"[)\]}]|</|(?:end|else|elif|elsif|elseif|except|finally|catch|rescue|ensure|then|fi|done|esac|until)\b"
)


def stop_at_block_end(text: str, place: Place) -> str:
    """The rows of the text up to the end of the cursor's block."""
    rows = text.split("\n")
    return "\n".join(rows[: _count_kept(rows, place)])


def block_ended(text: str, place: Place) -> bool:
    """Whether a text that is still being written has left the block: the rest of it would be cut."""
    rows = text.split("\n")
    if len(rows[-1].strip()) < _TELLING_CHARS:
        rows.pop()  # it may become a word that continues the block
    return bool(rows) and _count_kept(rows, place) < len(rows)


def _count_kept(rows: list[str], place: Place) -> int:
    base = _width(place.indent)
    gap = False
    for number, row in enumerate(rows[1:], start=1):
        if not row.strip():
            gap = True
            continue
        width = _width(indent_of(row))
        continues = _CONTINUES.match(row.lstrip()) is not None
        if width < base:  # 1
            return number
        if width == base and not place.on_blank and not continues:  # 2
            return number
        if width == base and place.on_blank and gap and not continues:  # 3
            return number
        gap = False
    return len(rows)


def _width(indent: str) -> int:
    return len(indent.expandtabs(4))
