"""Take away blanks and empty lines at the end."""

from __future__ import annotations

from lsp.shaping.place import Place


def trim_end(text: str, place: Place) -> str:
    """The text without what is blank at its end; one blank stays where text follows the cursor."""
    trimmed = text.rstrip()
    blank_stays = place.rest.strip() and not place.rest[0].isspace() and text.endswith(" ")
    return trimmed + " " if trimmed and blank_stays else trimmed
