"""An open document as the editor last described it: a list of lines, so that a change costs its own size.

pygls keeps one string instead, splits all of it at every change, and splits it at form feeds and other
characters that the protocol does not count as line ends, after which its lines are no longer the editor's.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, takewhile
from typing import Protocol

STEP_LINES = 32
"""A long window begins at a whole step: while it does not move, what a model has cached of it is good."""


class Encoding(StrEnum):
    """The unit in which this editor counts characters."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"


class Position(Protocol):
    """A position as it comes over the wire: the character in the units of the negotiated encoding."""

    line: int
    character: int


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a document; the column in characters."""

    line: int
    column: int


class Document:
    """One open document. Positions outside it are moved to its nearest end, as the protocol wants."""

    def __init__(
        self, *, uri: str, language: str, version: int, text: str, encoding: Encoding
    ) -> None:
        self.uri = uri
        self.language = language
        self.version = version
        self.encoding = encoding
        self.revision = 0
        self.chars = 0
        self._lines: list[str] = []
        self.replace_all(text)

    @property
    def line_count(self) -> int:
        """How many lines there are; an empty document has one."""
        return len(self._lines)

    def text(self) -> str:
        """All of it; costs its size."""
        return "".join(self._lines)

    def line(self, number: int) -> str:
        """A line without its end; empty past the document."""
        return self._lines[number].rstrip("\r\n") if number < len(self._lines) else ""

    def replace_all(self, text: str) -> None:
        """Take a new text for the whole document."""
        self._lines = _split(_whole_characters(text))
        self.chars = sum(map(len, self._lines))
        self.revision += 1

    def change(self, start: Position, end: Position, text: str) -> None:
        """Replace the text between two positions."""
        first, last = self.spot(start), self.spot(end)
        if (last.line, last.column) < (first.line, first.column):
            first, last = last, first
        head = self._lines[first.line][: first.column]
        tail = self._lines[last.line][last.column :]
        begin = first.line
        if begin and self._lines[begin - 1].endswith("\r"):
            # A line feed behind a lone carriage return makes one line end of the two.
            begin -= 1
            head = self._lines[begin] + head
        before = sum(map(len, self._lines[begin : last.line + 1]))
        fresh = _split(head + _whole_characters(text) + tail)
        if tail and not fresh[-1] and last.line + 1 < len(self._lines):
            fresh.pop()  # the line after the change is the one that begins here
        self._lines[begin : last.line + 1] = fresh
        self.chars += sum(map(len, fresh)) - before
        self.revision += 1

    def spot(self, position: Position) -> Spot:
        """Where a position of the wire is, in characters."""
        if position.line >= len(self._lines):
            return Spot(len(self._lines) - 1, len(self.line(len(self._lines) - 1)))
        return Spot(position.line, self._column(self.line(position.line), position.character))

    def units(self, spot: Spot) -> int:
        """A column in the units of the wire."""
        return self.count_units(self.line(spot.line)[: spot.column])

    def count_units(self, text: str) -> int:
        """How many units of the wire a text has."""
        if text.isascii() or self.encoding is Encoding.UTF32:
            return len(text)
        if self.encoding is Encoding.UTF8:
            return len(text.encode())
        return len(text.encode("utf-16-le")) // 2

    def above(self, line: int, chars_max: int) -> str:
        """The end of what stands above a line, in whole lines."""
        first = line - self._count_fitting(range(line - 1, -1, -1), chars_max)
        if first and line - first >= 2 * STEP_LINES:
            first = -(-first // STEP_LINES) * STEP_LINES
        return "".join(self._lines[first:line])

    def below(self, line: int, chars_max: int) -> str:
        """The beginning of what stands below a line, in whole lines."""
        end = line + 1 + self._count_fitting(range(line + 1, len(self._lines)), chars_max)
        return "".join(self._lines[line + 1 : end])

    def _count_fitting(self, numbers: range, chars_max: int) -> int:
        """How many of the first of these lines have room together."""
        used = accumulate(len(self._lines[number]) for number in numbers)
        return sum(1 for _ in takewhile(chars_max.__ge__, used))

    def _column(self, line: str, units: int) -> int:
        if line.isascii() or self.encoding is Encoding.UTF32:
            return min(units, len(line))
        if self.encoding is Encoding.UTF8:
            return len(line.encode()[:units].decode(errors="ignore"))
        return len(line.encode("utf-16-le")[: 2 * units].decode("utf-16-le", errors="ignore"))


def _split(text: str) -> list[str]:
    """Split after the protocol's three line ends and no other; the last line has none."""
    lines = list(io.StringIO(text, newline=""))
    if not lines or lines[-1].endswith(("\n", "\r")):
        lines.append("")
    return lines


def _whole_characters(text: str) -> str:
    """Join halves of surrogate pairs; one that stays alone becomes a mark of the same width."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
