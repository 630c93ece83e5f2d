"""How much of a query's text the model is given: as much as this machine can read in the time there is."""

from __future__ import annotations

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


def fim_of(query: Query, prefill_tokens_per_s: float, *, one_line: bool = False) -> Fim:
    """The prompt. One line is asked for where rows could not be put, too: in a menu, in the middle of a line."""
    chars = _window_chars(prefill_tokens_per_s)
    rest = query.suffix.partition("\n")[0]
    amid = any(char not in CLOSERS + ";,: " for char in rest.rstrip())
    return Fim(
        prefix=_end_of(query.prefix, chars),
        suffix=query.suffix[: chars // SUFFIX_SHARE],
        single_line=one_line or query.popup or amid,
    )


def _window_chars(prefill_tokens_per_s: float) -> int:
    """Doubles with the speed, so that small changes of it do not move the window and spoil the cache."""
    if not prefill_tokens_per_s:
        return CHARS_UNMEASURED
    wanted, chars = prefill_tokens_per_s * PREFILL_S * CHARS_PER_TOKEN, CHARS_MIN
    while 2 * chars <= min(wanted, CHARS_MAX):
        chars *= 2
    return chars


def _end_of(text: str, chars_max: int) -> str:
    """The end of a text, cut at the line ends that later keys will cut it at, too."""
    dropped = 0
    rows = text.splitlines(keepends=True)
    while len(text) - dropped > chars_max and len(rows) > STEP_LINES:
        dropped += sum(map(len, rows[:STEP_LINES]))
        rows = rows[STEP_LINES:]
    return text[dropped:][-chars_max:]
