"""Which part of the cursor's line an item replaces, so that every editor shows and inserts the same.

What the editors do with an item, read in their sources (VS Code 1.139, Neovim 0.12.4):

- Both draw only what is behind the common beginning of the insert text and the line at the range's start,
  so the insert text must begin with the text between that start and the cursor.
- VS Code asks that the range stays on one line, prefers that it begins before the cursor (the ghost then
  survives a backspace), and draws nothing unless the text after the cursor that the range covers comes
  again, in order, in the insert text.
- Neovim draws an item with an empty range inline: the rest of the line moves to the right. An item with
  a range it draws over the line, so what follows the cursor is hidden unless the range covers all of it.
- Typing a quote or bracket makes editors add its partner. A text that closes it again must replace the
  partner, or it is there twice.

Hence (the numbers are in the code):

1. Nothing follows the cursor: from the start of the word to the cursor.
2. The text repeats all that follows: from the start of the word to the end of the line; accepting puts
   the cursor behind what was closed.
3. Something else follows: an empty range at the cursor. (What the text repeats of a part of it was
   dropped by `drop_suffix_overlap`.)

A word's start is enough: an earlier one would only make an accepted item rewrite what it leaves alone.
A menu's item always begins at the word, because editors filter by it, and ends at the cursor, because
Neovim's menu inserts only up to there; so what it repeats is cut off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lsp.shaping.brackets import CLOSERS, Balance
from lsp.shaping.place import Place

_WORD_AT_END = re.compile(r"[\w$]*$")


@dataclass(frozen=True, slots=True)
class Replaced:
    """Text in place of so many characters before the cursor and so many after it."""

    text: str
    before: int
    after: int


def replaced(text: str, place: Place) -> Replaced:
    """The edit of ghost text."""
    rest = place.rest.rstrip()
    if not rest:
        return Replaced(_word(place) + text, before=len(_word(place)), after=0)  # 1
    if find_rest(text, place) is not None:
        return Replaced(_word(place) + text, before=len(_word(place)), after=len(rest))  # 2
    return Replaced(text, before=0, after=0)  # 3


def replaced_in_menu(text: str, place: Place) -> Replaced:
    """The edit of a menu's item."""
    at = find_rest(text, place)
    word = _word(place)
    return Replaced(word + (text if at is None else text[:at]), before=len(word), after=0)


def find_rest(text: str, place: Place) -> int | None:
    """Where the text begins to repeat all that follows the cursor on its line; None if it does not."""
    rest = place.rest.rstrip()
    if not rest:
        return None
    closed = Balance(place.before, text).closed
    for position, _ in closed:
        if text.startswith(rest, position):
            return position
    marks = [mark for _, mark in closed]
    if all(char in CLOSERS for char in rest) and marks[: len(rest)] == list(rest):
        return closed[0][0]
    head = text.removesuffix(rest)
    if head == text or all(char in CLOSERS for char in rest) or Balance(place.before, head).open:
        return None
    return len(head)


def _word(place: Place) -> str:
    match = _WORD_AT_END.search(place.before)
    return match.group() if match else ""
