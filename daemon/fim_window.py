"""How much of a query's text the model is given: as much as this machine can read in the time there is."""

from __future__ import annotations

from dataclasses import dataclass

from engines.engine import Fim
from lsp.assistant import Query
from lsp.shaping.brackets import CLOSERS

CHARS_MIN, CHARS_MAX = 2_000, 16_000
CHARS_UNMEASURED = 4_000
CHARS_PER_TOKEN = 3
PREFILL_S = 2.0
"""How long a whole window may take to read where nothing of it is cached; the next key finds it cached."""
SUFFIX_SHARE = 4
"""One part in so many is for what follows the cursor."""
STEP_LINES = 16


@dataclass(frozen=True, slots=True)
class Window:
    """At most so many lines, before the cursor and behind it."""

    prefix_lines: int = 256
    suffix_lines: int = 64


def fim_of(query: Query, window: Window, chars_max: int, *, one_line: bool = False) -> Fim:
    """The prompt. One line is asked for where rows could not be put, too: in a menu, in the middle of a line."""
    rows = query.suffix[: chars_max // SUFFIX_SHARE].split("\n")
    amid = any(char not in CLOSERS + ";,: " for char in rows[0].rstrip())
    return Fim(
        prefix=_end_of(query.prefix, window.prefix_lines, chars_max),
        suffix="\n".join(rows[: window.suffix_lines + 1]),
        single_line=one_line or query.popup or amid,
    )


def readable_chars(prefill_tokens_per_s: float) -> int:
    """How much a model of this speed can read in time. Doubles with the speed, so that small changes of it do not move the window and spoil the cache."""
    if not prefill_tokens_per_s:
        return CHARS_UNMEASURED
    wanted, chars = prefill_tokens_per_s * PREFILL_S * CHARS_PER_TOKEN, CHARS_MIN
    while 2 * chars <= min(wanted, CHARS_MAX):
        chars *= 2
    return chars


def _end_of(text: str, lines_max: int, chars_max: int) -> str:
    """The end of a text, cut at the line ends that later keys will cut it at, too."""
    rows = text.split("\n")
    chars, first = len(text), 0
    while (chars > chars_max or len(rows) - first > lines_max + 1) and len(
        rows
    ) - first > STEP_LINES:
        chars -= sum(len(row) + 1 for row in rows[first : first + STEP_LINES])
        first += STEP_LINES
    return "\n".join(rows[first:])[-chars_max:]
