"""A suggestion's range in the units of the wire."""

from __future__ import annotations

from lsprotocol import types

from lsp.document import Document, Spot
from lsp.suggestion import Suggestion


def range_of(suggestion: Suggestion, document: Document) -> types.Range:
    """The part of the document that a suggestion replaces."""
    return types.Range(
        start=_position(suggestion.line, suggestion.start, document),
        end=_position(suggestion.line, suggestion.end, document),
    )


def _position(line: int, column: int, document: Document) -> types.Position:
    return types.Position(line=line, character=document.units(Spot(line, column)))
