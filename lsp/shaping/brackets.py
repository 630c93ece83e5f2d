"""What a text closes that was open before it, and what it leaves open itself.

A scanner, not a parser: it knows brackets, quotes and backslashes, and takes a quote to end with its line.
"""

from __future__ import annotations

import re

OPENERS = {")": "(", "]": "[", "}": "{"}
QUOTES = "\"'`"
CLOSERS = ")]}" + QUOTES

_MARK = re.compile(r"[()\[\]{}\"'`\n]|\\.", re.DOTALL)


class Balance:
    """How a text stands to the brackets around it. `before` is what its line begins with."""

    def __init__(self, before: str, text: str) -> None:
        self.closed: list[tuple[int, str]] = []
        """The marks that close something from before the text, each with its place in the text."""
        self._open: list[str] = []
        self._outer = 0
        self._scan(before)
        self._outer = len(self._open)
        self.closed.clear()
        self._scan(text)

    @property
    def open(self) -> list[str]:
        """What the text opens and does not close."""
        return self._open[self._outer :]

    def _scan(self, text: str) -> None:
        for match in _MARK.finditer(text):
            mark = match.group()
            quote = self._open[-1] if self._open and self._open[-1] in QUOTES else ""
            if mark == "\n":
                if quote:
                    self._leave()
            elif quote:
                if mark == quote:
                    self._close(match.start(), mark)
            elif mark in OPENERS:
                self._close_bracket(match.start(), mark)
            elif not mark.startswith("\\"):
                self._open.append(mark)

    def _close_bracket(self, position: int, mark: str) -> None:
        if self._open and self._open[-1] == OPENERS[mark]:
            self._close(position, mark)
        else:
            self.closed.append((position, mark))  # it was opened on a line above

    def _close(self, position: int, mark: str) -> None:
        if len(self._open) == self._outer:
            self.closed.append((position, mark))
        self._leave()

    def _leave(self) -> None:
        self._open.pop()
        self._outer = min(self._outer, len(self._open))
