"""What a model is given of the other open documents: the pages that have most names in common with the cursor's place.

A new choice costs the model its whole cached prompt, because other files stand at its head. So a choice stays while
the cursor is near where it was made, and after that for as long as it is nearly as good as the best.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.engine import Chunk
from lsp.assistant import Query, Related

PAGE_LINES = 32
NEAR_LINES_ABOVE, NEAR_LINES_BELOW = 32, 16
"""Whose names a page is compared with."""
STAY_LINES = 32
"""So far the cursor goes before the choice is looked at again."""
GOOD_ENOUGH = 0.75
"""A choice stays that is so much of the best one, by the names in common."""
ALIKE_MIN = 0.08
"""Names in common, of all names of both. Of the best pages of modules from another package of Python's library less
than half have so much, of the same package's 80 %. The pages that are chosen so have half as many again of the names
that are typed next as pages chosen by chance."""
NAME_CHARS_MIN = 3
DOCUMENTS_MAX = 64

_NAME = re.compile(rf"[^\W\d]\w{{{NAME_CHARS_MIN - 1},}}")


@dataclass(frozen=True, slots=True)
class Beside:
    """What goes with a document's own text, least relevant first; and what the document and its project are called."""

    chunks: tuple[Chunk, ...] = ()
    repository: str = ""
    filename: str = ""


@dataclass(frozen=True, slots=True)
class _Page:
    """Lines of another document, from a whole multiple of PAGE_LINES on: where they lie depends on no cursor."""

    path: str
    text: str
    names: frozenset[str]

    def alike(self, names: frozenset[str]) -> float:
        """Jaccard's index: the share of the names of both that both have."""
        common = len(self.names & names)
        return common / (len(self.names) + len(names) - common) if common else 0.0


@dataclass(frozen=True, slots=True)
class _Choice:
    """Pages that were chosen for a document, and under which circumstances."""

    line: int
    related: tuple[Related, ...]
    chars_max: int
    pages: tuple[_Page, ...]
    beside: Beside

    def stays(self, query: Query, chars_max: int) -> bool:
        """Whether nothing has changed that would make another choice likely."""
        near = abs(query.line - self.line) <= STAY_LINES
        return near and (query.related, chars_max) == (self.related, self.chars_max)


class Neighbours:
    """The choices of the documents asked in last."""

    def __init__(self) -> None:
        self._choices: OrderedDict[tuple[str, str], _Choice] = OrderedDict()
        self._pages: OrderedDict[Related, tuple[_Page, ...]] = OrderedDict()

    def beside(self, query: Query, chars_max: int) -> Beside:
        """What goes with this query, of the documents it names as related, in at most so many characters."""
        if not chars_max or not query.related:
            return Beside()
        key = (query.session, query.uri)
        choice = self._choices.pop(key, None)
        if choice is None or not choice.stays(query, chars_max):
            choice = self._choose(query, chars_max, choice.pages if choice else ())
        self._choices[key] = choice
        if len(self._choices) > DOCUMENTS_MAX:
            self._choices.popitem(last=False)
        return choice.beside

    def forget(self, session: str) -> None:
        """Drop all of an editor's."""
        for key in [key for key in self._choices if key[0] == session]:
            del self._choices[key]

    def _choose(self, query: Query, chars_max: int, former: tuple[_Page, ...]) -> _Choice:
        names = _names_near(query)
        pages = [page for related in query.related for page in self._pages_of(related)]
        best = _best(pages, names, chars_max)
        still_there = set(former) <= set(pages) and sum(len(p.text) for p in former) <= chars_max
        if former and still_there and _worth(former, names) >= GOOD_ENOUGH * _worth(best, names):
            best = former
        return _Choice(query.line, query.related, chars_max, best, _beside(query.path, best))

    def _pages_of(self, related: Related) -> tuple[_Page, ...]:
        pages = self._pages.pop(related, None)
        pages = self._pages[related] = _cut(related) if pages is None else pages
        if len(self._pages) > DOCUMENTS_MAX:
            self._pages.popitem(last=False)
        return pages


def _cut(related: Related) -> tuple[_Page, ...]:
    lines = related.text.splitlines(keepends=True)
    texts = ("".join(lines[at : at + PAGE_LINES]) for at in range(0, len(lines), PAGE_LINES))
    return tuple(_Page(related.path, text, _names(text)) for text in texts)


def _best(pages: Sequence[_Page], names: frozenset[str], chars_max: int) -> tuple[_Page, ...]:
    """Those most alike, as many as fit, the best one last; of equals those of the document used last."""
    taken: list[_Page] = []
    for page in sorted(pages, key=lambda page: page.alike(names), reverse=True):
        if page.alike(names) < ALIKE_MIN:
            break
        if len(page.text) <= chars_max:
            taken.append(page)
            chars_max -= len(page.text)
    return tuple(reversed(taken))


def _worth(pages: Sequence[_Page], names: frozenset[str]) -> float:
    return sum(page.alike(names) for page in pages)


def _names_near(query: Query) -> frozenset[str]:
    above = query.prefix.split("\n")[-NEAR_LINES_ABOVE:]
    below = query.suffix.split("\n", NEAR_LINES_BELOW)[:NEAR_LINES_BELOW]
    return _names("\n".join((*above, *below)))


def _names(text: str) -> frozenset[str]:
    return frozenset(_NAME.findall(text))


def _beside(path: str, pages: Sequence[_Page]) -> Beside:
    if not pages:
        return Beside()
    root = _root_of(path)
    return Beside(
        chunks=tuple(Chunk(page.text, _within(root, page.path)) for page in pages),
        repository=root.name,
        filename=_within(root, path),
    )


def _root_of(path: str) -> Path:
    """The repository that a file is in; its folder where it is in none."""
    folders = Path(path).parents if path.startswith("/") else [Path()]
    return next((folder for folder in folders if (folder / ".git").exists()), folders[0])


def _within(root: Path, path: str) -> str:
    """A file's path from the root on; of one that lies elsewhere its name alone."""
    file = Path(path)
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name
