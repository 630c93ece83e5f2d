"""Cut where the text begins to repeat itself, and drop it when it only repeats the line above."""

from __future__ import annotations

import re

from lsp.shaping.place import Place

_TELLING_CHARS = 8
_ASSIGNMENT = re.compile(r"\s*[\w.]+ = ")
"""However short, nobody makes the same one twice in a row."""
_LOOP = re.compile(r"(.{2,40}?)\1{3,}", re.DOTALL)


def drop_repetition(text: str, place: Place) -> str:
    """The text up to its second turn round a loop; nothing if it is the line above again."""
    if _repeats_above(text, place):
        return ""
    return _cut_loop(_cut_row_loop(text))


def _repeats_above(text: str, place: Place) -> bool:
    above = next((row for row in reversed(place.above) if row.strip()), "")
    first = (place.before + text).lstrip("\n").partition("\n")[0]
    return (
        _telling(above) or _ASSIGNMENT.match(above) is not None
    ) and first.strip() == above.strip()


def _cut_row_loop(text: str) -> str:
    """Cut at a group of rows that follows itself at once; short rows may repeat (`},`), three times may not."""
    rows = text.split("\n")
    for start in range(len(rows)):
        for size in range(1, (len(rows) - start) // 2 + 1):
            group, again = rows[start : start + size], rows[start + size : start + 2 * size]
            if group == again and _telling("".join(group)):
                return "\n".join(rows[: start + size])
    return text


def _cut_loop(text: str) -> str:
    """Cut a run of characters that comes four times or more in a row: keep its first turn."""
    match = _LOOP.search(text)
    if match is None or not any(char.isalnum() for char in match.group(1)):
        return text
    return text[: match.end(1)]


def _telling(row: str) -> bool:
    return sum(char.isalnum() for char in row) >= _TELLING_CHARS
