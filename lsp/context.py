"""What the model is shown of the documents: windows around the cursor, and the other open documents.

Windows are counted in characters; line ends become line feeds, the only kind that models know.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from lsp.assistant import Related
from lsp.document import Document, Spot


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of the documents goes into one query: what the look-up reads; a model is given less of it."""

    chars: int = 20_000
    """Before the cursor, and as much behind it."""
    related_documents: int = 4
    related_chars: int = 20_000
    """Of each."""


def window(document: Document, spot: Spot, limits: Limits) -> tuple[str, str]:
    """The text before and after the cursor."""
    line = document.line(spot.line)
    before = line[: spot.column][-limits.chars :]
    after = line[spot.column :][: limits.chars]
    above = document.above(spot.line, limits.chars - len(before))
    below = document.below(spot.line, limits.chars - len(after))
    end = "\n" if spot.line + 1 < document.line_count else ""
    return feeds(above) + before, after + end + feeds(below)


def related(others: Iterable[Document], limits: Limits) -> tuple[Related, ...]:
    """The beginnings of the first few documents that have any text."""
    found: list[Related] = []
    for other in others:
        if len(found) == limits.related_documents:
            break
        text = other.below(-1, limits.related_chars)
        if text:
            found.append(Related(path_of(other.uri), other.language, feeds(text)))
    return tuple(found)


def feeds(text: str) -> str:
    """The text with line feeds for all of its line ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def path_of(uri: str) -> str:
    """The path in a `file:` address; any other address as it is."""
    parts = urlsplit(uri)
    return unquote(parts.path) if parts.scheme == "file" else uri
