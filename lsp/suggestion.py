"""From a draft to the edit that an editor shows: shaped, trimmed by what was typed since, and measured."""

from __future__ import annotations

from dataclasses import dataclass

from lsp.assistant import Draft, Query
from lsp.document import Document, Spot
from lsp.shaping import GHOST, MENU, shape
from lsp.shaping.place import Place
from lsp.shaping.replaced import replaced, replaced_in_menu


@dataclass(frozen=True, slots=True)
class Selected:
    """An item that is selected in the editor's own menu: it stands for the cursor's line from `start` to `end`."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with everything that was true when it came: taken before anything is awaited."""

    query: Query
    document: Document
    revision: int
    spot: Spot
    before: str
    rest: str
    line_count: int
    selected: Selected | None

    def typed_since(self) -> str | None:
        """What was typed at the cursor since; None when the document changed in any other way."""
        document, line = self.document, self.document.line(self.spot.line)
        if document.revision == self.revision:
            return ""
        chars = len(line) - len(self.before) - len(self.rest)
        elsewhere = document.line_count != self.line_count or self.selected is not None
        if elsewhere or chars < 0 or not line.endswith(self.rest):
            return None
        return line[len(self.before) :][:chars] if line.startswith(self.before) else None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Text that replaces a part of one line, in characters; empty when there is nothing to show."""

    text: str
    line: int
    start: int
    end: int
    draft: Draft
    written: int
    """How much of the text is new to the document."""


def suggest(draft: Draft | None, asked: Asked) -> Suggestion | None:
    """The suggestion that a draft makes for the document as it is now; None when it no longer fits.

    The draft is shaped where it was written, so that it does not change its shape while it is typed.
    """
    since = asked.typed_since()
    if since is None:
        return None
    query = asked.query
    typed, text = since, ""
    if draft:
        written_at = query.prefix.removesuffix(draft.typed)
        text = _shape(draft.text, Place(written_at, query.suffix, query.language), query)
        typed = draft.typed + since
    if text and not text.startswith(typed):
        return None
    if draft is None or text == typed or not text:
        column = asked.spot.column
        return Suggestion("", asked.spot.line, column, column, draft=Draft("", ""), written=0)
    return _edit(draft, text[len(typed) :], since, asked)


def _shape(text: str, place: Place, query: Query) -> str:
    return shape(text, place, MENU if query.popup else GHOST)


def _edit(draft: Draft, text: str, since: str, asked: Asked) -> Suggestion:
    place = Place(asked.query.prefix + since, asked.query.suffix, asked.query.language)
    edit = (replaced_in_menu if asked.query.popup else replaced)(text, place)
    column = asked.spot.column + len(since)
    start, end, insert = column - edit.before, column + edit.after, edit.text
    if item := asked.selected:
        # The editor shows only what begins with the selected item and replaces the item's range.
        start, end, insert = item.start, item.end + edit.after, item.text + text
    return Suggestion(insert, asked.spot.line, start, end, draft=draft, written=len(text))
