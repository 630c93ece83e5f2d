"""Places to complete, cut from held-out files: the cursor stands between two words of a line, the rest is missing."""

import io
import json
import tokenize
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from cuts import PIECE

LINES_MIN = 20
LINE_CHARS_MIN = 7
LINES_PER_FILE_MAX = 300  # a long file weighs no more than this


@dataclass(frozen=True)
class Item:
    """One place: what stands before and after the cursor, and what was written there."""

    path: str
    prefix: str
    suffix: str
    middle: str


def read_items(path: Path) -> dict[str, list[Item]]:
    """Read the sets of a file that `write_items` wrote."""
    sets = json.loads(path.read_text("utf-8"))
    return {name: [Item(*row) for row in rows] for name, rows in sets.items()}


def write_items(path: Path, sets: dict[str, list[Item]]) -> None:
    """Write sets of items."""
    rows = {
        name: [(i.path, i.prefix, i.suffix, i.middle) for i in items]
        for name, items in sets.items()
    }
    path.write_text(json.dumps(rows), "utf-8")


def between_words(line: str) -> list[int]:
    """Return where a cursor may stand before a word or sign, at least two characters from the end."""
    pieces = [match for match in PIECE.finditer(line) if match.group().strip()]
    starts = [match.start() for match in pieces if match.start() > _indent(line)]
    return [start for start in starts if len(line) - start >= 2]


def anywhere(line: str) -> list[int]:
    """Return where a cursor stands while the line is typed, within words and at its end too."""
    return list(range(_indent(line) + 1, len(line) + 1))


def make_items(
    files: list[tuple[str, str]],
    n_items: int,
    seed: int,
    places: Callable[[str], list[int]] = between_words,
) -> list[Item]:
    """Cut items from (path, text) pairs, files weighted by their lines of code."""
    random = Random(seed)
    usable = [(path, text, _code_lines(text)) for path, text in files]
    usable = [entry for entry in usable if len(entry[2]) > LINES_MIN]
    weights = [min(len(lines), LINES_PER_FILE_MAX) for _, _, lines in usable]
    items: list[Item] = []
    while len(items) < n_items:
        path, text, numbers = random.choices(usable, weights)[0]
        number = random.choice(numbers)
        lines = text.split("\n")
        line = lines[number]
        if candidates := places(line):
            start = sum(len(earlier) + 1 for earlier in lines[:number])
            begin, end = start + random.choice(candidates), start + len(line)
            items.append(Item(path, text[:begin], text[end:], text[begin:end]))
    return items


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _code_lines(text: str) -> list[int]:
    """Return the numbers of the lines that are neither comment nor docstring nor very short."""
    prose: set[int] = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type != tokenize.STRING:
                continue
            opens_line = token.line.strip().startswith(('"""', "'''", 'r"""'))
            if token.start[0] != token.end[0] or opens_line:
                prose.update(range(token.start[0] - 1, token.end[0]))
    except (tokenize.TokenError, SyntaxError):
        return []
    return [
        number
        for number, line in enumerate(text.split("\n"))
        if number not in prose
        and len(line.strip()) >= LINE_CHARS_MIN
        and not line.strip().startswith("#")
    ]
