"""One connected editor: its documents, and at most one answer it still waits for per document and kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lsp.assistant import Assistant, Draft, Query
from lsp.context import Limits, path_of, related, window
from lsp.document import Position
from lsp.documents import Documents
from lsp.suggestion import Asked, Selected, Suggestion, suggest


class Session:
    """The state of one connection."""

    def __init__(
        self, name: str, assistant: Assistant, limits: Limits, excluded: Callable[[str], bool]
    ) -> None:
        self.name = name
        self.assistant = assistant
        self.documents = Documents(name, excluded)
        self._limits = limits
        self._running: dict[tuple[str, bool], asyncio.Task[Draft | None]] = {}

    def open(self, uri: str, language: str, version: int, text: str) -> None:
        """A document was opened."""
        if self.documents.open(uri, language, version, text):
            self.assistant.opened(self.name, language)

    def ask(
        self,
        uri: str,
        position: Position,
        *,
        popup: bool = False,
        invoked: bool = False,
        selected: Selected | None = None,
    ) -> Asked | None:
        """Take down what is asked, as the document is now; None for a document that is not known."""
        document = self.documents.use(uri)
        if document is None:
            return None
        spot = document.spot(position)
        line = document.line(spot.line)
        prefix, suffix = window(document, spot, self._limits)
        if selected:
            prefix = prefix[: len(prefix) - (spot.column - selected.start)] + selected.text
            suffix = suffix[selected.end - spot.column :]
        query = Query(
            session=self.name,
            uri=uri,
            path=path_of(uri),
            language=document.language,
            version=document.version,
            line=spot.line,
            prefix=prefix,
            suffix=suffix,
            related=related(self.documents.beside(document), self._limits),
            popup=popup,
            invoked=invoked,
        )
        return Asked(
            query=query,
            document=document,
            revision=document.revision,
            spot=spot,
            before=line[: spot.column],
            rest=line[spot.column :],
            line_count=document.line_count,
            selected=selected,
        )

    async def suggest(self, asked: Asked) -> Suggestion | None:
        """The assistant's answer as an edit; None when a newer request or an edit has overtaken it."""
        key = (asked.query.uri, asked.query.popup)
        older = self._running.get(key)
        work = asyncio.ensure_future(self.assistant.complete(asked.query))
        self._running[key] = work
        try:
            if older:
                # The newer one goes first, so that the scheduler may hand the older one's place to it.
                await asyncio.sleep(0)
                older.cancel()
            draft = await work
        except asyncio.CancelledError:
            work.cancel()
            if self._is_current(key, work) or _withdrawn():
                raise
            return None
        finally:
            current = self._is_current(key, work)
            if current:
                del self._running[key]
        still_open = self.documents.get(asked.query.uri) is asked.document
        return suggest(draft, asked) if current and still_open else None

    def end(self) -> None:
        """The editor is gone."""
        for work in self._running.values():
            work.cancel()
        self.documents.clear()
        self.assistant.disconnected(self.name)

    def _is_current(self, key: tuple[str, bool], work: asyncio.Task[Draft | None]) -> bool:
        return self._running.get(key) is work


def _withdrawn() -> bool:
    """Whether the request itself was cancelled, and not only the work for it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
