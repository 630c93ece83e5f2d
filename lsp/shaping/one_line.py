"""Keep the first line: a menu's item has one."""

from __future__ import annotations

from lsp.shaping.place import Place


def one_line(text: str, place: Place) -> str:  # noqa: ARG001 - every filter takes the place
    """The first line; nothing when the text begins with a line end."""
    return text.partition("\n")[0]
