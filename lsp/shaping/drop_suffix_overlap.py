"""Do not write again what follows the cursor, on its line or under it.

What repeats the whole rest of the line stays: the edit replaces that rest (`replaced.py`).
"""

from __future__ import annotations

from lsp.shaping.brackets import CLOSERS, Balance
from lsp.shaping.place import Place
from lsp.shaping.replaced import find_rest

_TELLING_CHARS = 8


def drop_suffix_overlap(text: str, place: Place) -> str:
    """The text without its part that the document goes on with."""
    if place.rest.strip() and find_rest(text, place) is None:
        text = _cut_before_rest(text, place.rest.rstrip(), place)
    return _cut_before_below(text, place)


def _cut_before_rest(text: str, rest: str, place: Place) -> str:
    if any(char not in CLOSERS + ";,: " for char in rest):
        text = text.partition("\n")[0]  # rows cannot be put into the middle of a line
    closed = Balance(place.before, text).closed
    if completed := _complete_closers(text, rest, closed):
        return completed
    for position, mark in closed:
        if mark == rest[0]:
            return text[:position]
    for size in range(min(len(rest), len(text)), 0, -1):
        head = text[: len(text) - size]
        if text.endswith(rest[:size]) and _may_drop(rest[:size], head, place):
            return head
    return text


def _complete_closers(text: str, rest: str, closed: list[tuple[int, str]]) -> str:
    """A text that ends by closing some of what follows, made to close all of it."""
    marks = "".join(mark for _, mark in closed)
    ends_closing = bool(closed) and closed[-1][0] == len(text.rstrip()) - 1
    if ends_closing and rest.startswith(marks) and all(char in CLOSERS for char in rest):
        return text.rstrip() + rest[len(marks) :]
    return ""


def _may_drop(tail: str, head: str, place: Place) -> bool:
    """Whether the tail is no part of what the head has begun, and more than a chance letter."""
    return (len(tail) > 2 or tail in ";,:") and not Balance(place.before, head).open


def _cut_before_below(text: str, place: Place) -> str:
    below = [row.rstrip() for row in place.below if row.strip()]
    rows = [row.rstrip() for row in text.split("\n")]
    for number in range(1, len(rows)):
        tail = [row for row in rows[number:] if row]
        if tail and below and tail[0] == below[0]:
            telling = sum(char.isalnum() for char in tail[0]) >= _TELLING_CHARS
            if telling or tail == below[: len(tail)]:
                return "\n".join(text.split("\n")[:number])
    return text
