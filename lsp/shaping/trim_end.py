"""Take away blanks and empty lines at the end."""

from __future__ import annotations

from lsp.shaping.brackets import CLOSERS
from lsp.shaping.place import Place


def trim_end(text: str, place: Place) -> str:
    """The text without what is blank at its end; what parts it from what follows the cursor stays."""
    trimmed, rest = text.rstrip(), place.rest.rstrip()
    tail = text[len(trimmed) :]
    if not trimmed or not rest:
        return trimmed
    if "\n" in tail and "\n" in trimmed and all(char in CLOSERS for char in rest):
        return f"{trimmed}\n{place.indent}"  # the brackets that follow stay on a line of their own
    return trimmed + " " if tail.endswith(" ") and not rest[0].isspace() else trimmed
