"""Which older requests a newer one makes pointless: those for the same place in the same document."""

from __future__ import annotations

from collections.abc import Iterable

from policies.request import Class, Request


def superseded(newer: Request, live: Iterable[Request], *, neighbour_lines: int) -> list[int]:
    """The numbers of the live requests that the newer one replaces, in the order given."""
    if newer.place is None:
        return []
    return [older.id for older in live if _replaces(newer, older, neighbour_lines)]


def _replaces(newer: Request, older: Request, neighbour_lines: int) -> bool:
    """Whether the newer request replaces the older one.

    1. Both come from one client, for one document, a few lines apart at most.
    2. The newer is at least as urgent: a warm-up never replaces what somebody looks at.
    3. They are of one kind (an editor asks for ghost text and for its menu at once, and wants both),
       or the older one is speculative: the guess has become a question.
    """
    if newer.place is None or older.place is None or newer.client != older.client:
        return False
    if newer.place.document != older.place.document:
        return False
    if abs(newer.place.line - older.place.line) > neighbour_lines or newer.klass > older.klass:
        return False
    return newer.kind is older.kind or older.klass is Class.SPECULATIVE
