"""The documents that one editor has open: so many, so large, and which of them belong together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from posixpath import dirname

from lsp.context import path_of
from lsp.document import Document, Encoding

DOCUMENTS_MAX = 512
DOCUMENT_CHARS_MAX = 8_000_000
ALL_CHARS_MAX = 64_000_000

log = logging.getLogger(__name__)


class Documents:
    """Follows what may be followed: no excluded file, and nothing past the limits. What is not, gets no suggestions."""

    def __init__(self, session: str, excluded: Callable[[str], bool]) -> None:
        self.encoding = Encoding.UTF16
        self.folders: tuple[str, ...] = ()
        self._session = session
        self._excluded = excluded
        self._open: dict[str, Document] = {}
        """The ones that were asked in last are the last."""

    def open(self, uri: str, language: str, version: int, text: str) -> bool:
        """Follow a document; whether it is."""
        self._open.pop(uri, None)
        if self._excluded(path_of(uri)):
            return False
        self._open[uri] = Document(
            uri=uri, language=language, version=version, text=text, encoding=self.encoding
        )
        return self._keep_to_limits(uri)

    def change(self, uri: str, version: int, edits: Iterable[Callable[[Document], None]]) -> None:
        """Apply an editor's changes, in order."""
        if document := self._open.get(uri):
            for edit in edits:
                edit(document)
            document.version = version
            self._keep_to_limits(uri)

    def close(self, uri: str) -> None:
        """Forget a document."""
        self._open.pop(uri, None)

    def clear(self) -> None:
        """Forget all."""
        self._open.clear()

    def get(self, uri: str) -> Document | None:
        """A document that is followed."""
        return self._open.get(uri)

    def use(self, uri: str) -> Document | None:
        """The same, and remember that it was asked in."""
        if document := self._open.pop(uri, None):
            self._open[uri] = document
        return document

    def beside(self, document: Document) -> list[Document]:
        """The others of its workspace folder, the latest used first: context never crosses folders."""
        folder = self._folder_of(document.uri)
        return [
            other
            for other in reversed(self._open.values())
            if other is not document and self._folder_of(other.uri) == folder
        ]

    def _folder_of(self, uri: str) -> str:
        """The workspace folder that a document is in; its own where it is in none."""
        around = [folder for folder in self.folders if uri.startswith(folder.rstrip("/") + "/")]
        return max(around, key=len) if around else dirname(uri)

    def _keep_to_limits(self, uri: str) -> bool:
        within = (
            len(self._open) <= DOCUMENTS_MAX
            and self._open[uri].chars <= DOCUMENT_CHARS_MAX
            and sum(document.chars for document in self._open.values()) <= ALL_CHARS_MAX
        )
        if not within:
            log.warning("%s: too large or too many documents: one is not followed", self._session)
            self.close(uri)
        return within
