"""Where a text is to stand: what is before and after the cursor, and how this document is indented."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

ROWS_SEEN = 100
BLOCK_OPENERS = (":", "{", "(", "[", " then", " do", " else", "=>", "->")


@dataclass(frozen=True)
class Place:
    """A cursor in a document. Line ends are line feeds."""

    prefix: str
    suffix: str
    language: str = ""

    @cached_property
    def before(self) -> str:
        """The cursor's line up to the cursor."""
        return self.prefix[self.prefix.rfind("\n") + 1 :]

    @cached_property
    def rest(self) -> str:
        """The cursor's line from the cursor on."""
        return self.suffix.partition("\n")[0]

    @cached_property
    def below(self) -> list[str]:
        """The nearest lines under the cursor's."""
        return self.suffix.split("\n", ROWS_SEEN + 1)[1 : ROWS_SEEN + 1]

    @cached_property
    def above(self) -> list[str]:
        """The nearest lines over the cursor's."""
        return self.prefix.rsplit("\n", ROWS_SEEN + 1)[:-1][-ROWS_SEEN:]

    @cached_property
    def indentation(self) -> str:
        """One step of indentation in this document: a tab, or the smallest step of blanks that it uses."""
        indents = [indent_of(row) for row in self.above + self.below if row.strip()]
        if sum(indent.startswith("\t") for indent in indents) * 2 > sum(map(bool, indents)):
            return "\t"
        widths = [len(indent) for indent in indents if not indent.startswith("\t")]
        steps = [b - a for a, b in pairwise(widths) if 1 < b - a <= 8]
        return " " * (min(steps) if steps else 4)

    @cached_property
    def indent(self) -> str:
        """What the cursor's line begins with; on a blank line, what stands before the cursor."""
        return indent_of(self.before)

    @cached_property
    def on_blank(self) -> bool:
        """Whether nothing but blanks is before the cursor on its line."""
        return not self.before.strip()


def indent_of(line: str) -> str:
    """The blanks that a line begins with."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def opens_block(line: str) -> bool:
    """Whether a deeper line is to be expected under this one."""
    return line.rstrip().endswith(BLOCK_OPENERS)
