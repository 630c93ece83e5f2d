"""What a language-server session needs from the daemon, as a protocol; and the values that cross it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Related:
    """Another document that is open in the same editor."""

    path: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """A completion that an editor asks for. `prefix` and `suffix` are the document around the cursor."""

    session: str
    uri: str
    path: str
    language: str
    version: int
    line: int
    prefix: str
    suffix: str
    related: tuple[Related, ...] = ()
    popup: bool = False
    """Asked by `textDocument/completion`: a menu item, so one line at most."""
    invoked: bool = False
    """The user asked for it by a key, so it may take longer and show less certain text."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Text to insert at the cursor, before it is shaped to the document."""

    text: str
    origin: str
    """Who wrote it: `model` or `look-up`."""
    model: str = ""
    request_id: int = 0
    typed: str = ""
    """What of the text stands before the cursor already, as the user has typed it since it was written."""


@dataclass(frozen=True, slots=True)
class Status:
    """What an editor shows in its status line."""

    kind: str
    """One of ready, loading, busy, degraded, error."""
    message: str
    progress: float | None = None


class Assistant(Protocol):
    """The daemon, seen from a session."""

    async def complete(self, query: Query) -> Draft | None:
        """Answer a completion; None when nothing is worth showing or the query was overtaken.

        Cancelling the awaiting task withdraws the request.
        """

    def opened(self, session: str, language: str) -> None:
        """A document of this language was opened: its model may be wanted soon."""

    def accepted(self, session: str, request_id: int, chars: int) -> None:
        """A completion was accepted by the user."""

    def disconnected(self, session: str) -> None:
        """The editor is gone: withdraw whatever it still waits for."""

    def status(self) -> Status:
        """The state now."""

    def watch(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Call the listener at every change of state; the answer ends that."""
