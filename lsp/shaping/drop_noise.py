"""Drop a text that says nothing: blanks, or marks that close nothing."""

from __future__ import annotations

from lsp.shaping.brackets import CLOSERS, Balance
from lsp.shaping.place import Place


def drop_noise(text: str, place: Place) -> str:
    """The text if it has a letter or digit, or only closes what the cursor's line has open; else nothing."""
    if any(char.isalnum() for char in text):
        return text
    closed = {at for at, _ in Balance(place.before, text).closed if not place.on_blank}
    marks = {at for at, char in enumerate(text) if char in CLOSERS}
    return text if closed and closed == marks else ""
