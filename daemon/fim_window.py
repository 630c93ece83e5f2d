"""How much of a query's text the model is given: as much as this machine can read in the time there is."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.neighbours import Beside
from daemon.snapshot import ModelSnapshot
from engines.engine import Fim, Loaded
from lsp.assistant import Query
from lsp.shaping.brackets import CLOSERS
from policies.request import PROMISE_OF, Class

CHARS_MIN, CHARS_MAX = 2_000, 16_000
CHARS_UNMEASURED = 4_000
CHARS_PER_TOKEN = 3
PREFILL_S = 2.0
"""How long a whole window may take to read where nothing of it is cached; the next key finds it cached."""
FILES_CHARS_MIN, FILES_CHARS_MAX = 1_000, 8_000
FILES_SHARE = 2
"""Other files may take one part in so many of the time that the first token is promised in: they come on top, and
whenever they change nothing of the prompt is cached."""
SUFFIX_SHARE = 4
"""One part in so many is for what follows the cursor."""
STEP_LINES = 16


@dataclass(frozen=True, slots=True)
class Window:
    """At most so many lines, before the cursor and behind it."""

    prefix_lines: int = 256
    suffix_lines: int = 64


def fim_of(
    query: Query,
    window: Window,
    chars_max: int,
    *,
    beside: Beside = Beside(),  # noqa: B008 -- a frozen value
    one_line: bool = False,
) -> Fim:
    """The prompt. One line is asked for where rows could not be put, too: in a menu, in the middle of a line."""
    rows = query.suffix[: chars_max // SUFFIX_SHARE].split("\n")
    amid = any(char not in CLOSERS + ";,: " for char in rows[0].rstrip())
    return Fim(
        prefix=_end_of(query.prefix, window.prefix_lines, chars_max),
        suffix="\n".join(rows[: window.suffix_lines + 1]),
        chunks=beside.chunks,
        repository=beside.repository,
        filename=beside.filename,
        single_line=one_line or query.popup or amid,
    )


def readable_chars(prefill_tokens_per_s: float) -> int:
    """How much a model of this speed can read in time. Doubles with the speed, so that small changes of it do not move the window and spoil the cache."""
    if not prefill_tokens_per_s:
        return CHARS_UNMEASURED
    return _doubled(CHARS_MIN, prefill_tokens_per_s * PREFILL_S * CHARS_PER_TOKEN, CHARS_MAX)


class Spare:
    """What of other files a model can read beside a document: nothing until its speed is known.

    Where most of each prompt is cached, a step reads few tokens and looks slow. So the fastest a model has been
    since it was loaded counts: files that came and went with that would be read again each time.
    """

    def __init__(self) -> None:
        self._fastest: dict[str, tuple[Loaded | None, float]] = {}

    def chars(self, model: ModelSnapshot) -> int:
        """How many characters: those read in time for which the context has room beside the document's own window."""
        loaded, speed = self._fastest.get(model.name, (None, 0.0))
        speed = max(model.prefill_tokens_per_s, speed if loaded is model.loaded else 0.0)
        self._fastest[model.name] = (model.loaded, speed)
        if model.loaded is None:
            return 0
        promised_s = PROMISE_OF[Class.INTERACTIVE].first_token_s or 0.0
        in_time = speed * promised_s / FILES_SHARE * CHARS_PER_TOKEN
        own = readable_chars(speed) * (SUFFIX_SHARE + 1) // SUFFIX_SHARE
        room = model.loaded.context_tokens * CHARS_PER_TOKEN - own
        wanted = min(in_time, room)
        return 0 if wanted < FILES_CHARS_MIN else _doubled(FILES_CHARS_MIN, wanted, FILES_CHARS_MAX)


def _doubled(least: int, wanted: float, most: int) -> int:
    """The least, doubled as often as what is wanted and the most allow."""
    while 2 * least <= min(wanted, most):
        least *= 2
    return least


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
