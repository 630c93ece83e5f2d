"""Indent as the document does, and go on where the cursor stands instead of indenting again."""

from __future__ import annotations

from lsp.shaping.place import Place, indent_of, opens_block


def fit_indentation(text: str, place: Place) -> str:
    """The text in the document's own indentation, its first line continuing at the cursor's column."""
    first, *others = text.split("\n")
    others = [_convert(row, place.indentation) for row in others]
    if place.on_blank:
        first = _continue(_convert(first, place.indentation), place)
    return "\n".join([first, *others])


def _convert(row: str, unit: str) -> str:
    """Tabs to blanks or blanks to tabs, where the row's indentation is not of the document's kind."""
    indent = indent_of(row)
    if unit == "\t" and " " in indent:
        width = len(indent.expandtabs(4))
        return "\t" * (width // 4) + " " * (width % 4) + row[len(indent) :]
    if unit != "\t" and "\t" in indent:
        return indent.replace("\t", unit) + row[len(indent) :]
    return row


def _continue(first: str, place: Place) -> str:
    """Take off what repeats the indentation that is before the cursor already."""
    indent = indent_of(first)
    wanted = len(_expected(place)) - len(place.before)
    return first[min(len(indent), max(0, len(indent) - max(0, wanted))) :]


def _expected(place: Place) -> str:
    """The deepest indentation that the line above allows."""
    last = next((row for row in reversed(place.above) if row.strip()), "")
    return indent_of(last) + (place.indentation if opens_block(last) else "")
