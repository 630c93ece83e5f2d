"""Where a middle is cut out of a text: as editors ask for it, most often the rest of a line.

A cut never follows a blank: the tokenizer glues the blank to the word after it, so a prompt that ends in a blank is
text that the model has never seen. Serving drops such blanks and takes them off the answer again.
"""

import re
from dataclasses import dataclass
from random import Random

PIECE = re.compile(r"\w+|[^\w\s]|\s+")
TRIES = 20
MIDDLE_CHARS_MAX = 400


@dataclass(frozen=True)
class Mix:
    """How often each kind of middle is cut: rest of line, part of a line, several lines, a block."""

    line: int = 62
    part: int = 6
    lines: int = 18
    block: int = 14


LONG_RUN = Mix()
LAST_STRETCH = Mix(line=85, part=3, lines=8, block=4)


def cut(text: str, mix: Mix, random: Random) -> tuple[int, int] | None:
    """Return where a middle begins and ends in `text`, or None where no place was found."""
    starts = [0] + [match.end() for match in re.finditer("\n", text)]
    for _ in range(TRIES):
        index = random.randrange(len(starts) - 1)
        line = text[starts[index] : starts[index + 1] - 1]
        if _is_dull(line, random):
            continue
        offset = _offset(line, random)
        begin = starts[index] + offset
        end = _end(text, starts, index, offset, mix, random)
        if end - begin > MIDDLE_CHARS_MAX:
            end = starts[index + 1] - 1
        if begin < end and text[begin:end].strip():
            return begin, end
    return None


def _is_dull(line: str, random: Random) -> bool:
    if not line.strip():
        return random.random() < 0.9
    return line.lstrip().startswith("#") and random.random() < 0.6


def _offset(line: str, random: Random) -> int:
    """Choose where in its line a middle begins: anywhere, at the line's start, or between words."""
    indent = len(line) - len(line.lstrip())
    choice = random.random()
    if choice < 0.2 and len(line) - indent > 1:
        offset = random.randint(indent, len(line) - 1)
    elif choice < 0.35:
        offset = 0
    else:
        between = [match.start() for match in PIECE.finditer(line) if match.start() > indent]
        offset = random.choice(between) if between else len(line)
    return len(line[:offset].rstrip(" \t"))


def _end(text: str, starts: list[int], index: int, offset: int, mix: Mix, random: Random) -> int:
    kinds = {"line": mix.line, "part": mix.part, "lines": mix.lines, "block": mix.block}
    kind = random.choices(list(kinds), list(kinds.values()))[0]
    line_end = starts[index + 1] - 1
    if kind == "part":
        line = text[starts[index] : line_end]
        ends = [m.end() for m in PIECE.finditer(line) if m.end() > offset and m.group().strip()]
        return starts[index] + random.choice(ends[:12]) if ends else starts[index]
    if kind == "line":
        return line_end
    if kind == "lines":
        n_lines = random.choice([1, 1, 1, 2, 2, 3, 4, 5])
        end = starts[min(len(starts) - 1, index + 1 + n_lines)] - 1
    else:
        end = _block_end(text, starts, index)
    return len(text[:end].rstrip(" \n"))


def _block_end(text: str, starts: list[int], index: int) -> int:
    """Return the end of the lines that are indented at least as the one at `index`, at most 8."""
    first = text[starts[index] : starts[index + 1] - 1]
    indent = max(1, len(first) - len(first.lstrip()))
    last = index + 1
    while last < len(starts) - 1 and last - index < 8:
        line = text[starts[last] : starts[last + 1] - 1]
        if line.strip() and len(line) - len(line.lstrip()) < indent:
            break
        last += 1
    return starts[last] - 1
