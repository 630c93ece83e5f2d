"""Makes a model's text fit the document: one filter a file, and their order here.

A filter is a pure function of the text and the place; an empty answer means that nothing is worth showing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from lsp.shaping.drop_noise import drop_noise
from lsp.shaping.drop_repetition import drop_repetition
from lsp.shaping.drop_special import drop_special
from lsp.shaping.drop_suffix_overlap import drop_suffix_overlap
from lsp.shaping.fit_indentation import fit_indentation
from lsp.shaping.one_line import one_line
from lsp.shaping.place import Place
from lsp.shaping.stop_at_block_end import stop_at_block_end
from lsp.shaping.trim_end import trim_end

Filter: TypeAlias = Callable[[str, Place], str]

GHOST: tuple[Filter, ...] = (
    drop_special,  # first: nothing after a leaked token means anything
    fit_indentation,  # before the filters that read indentation
    stop_at_block_end,
    drop_repetition,
    drop_suffix_overlap,
    trim_end,
    drop_noise,  # last: what the others left may say nothing
)
MENU: tuple[Filter, ...] = (drop_special, fit_indentation, one_line, *GHOST[3:])


def shape(text: str, place: Place, filters: tuple[Filter, ...] = GHOST) -> str:
    """The text as it may be shown; empty if it may not."""
    for filter_ in filters:
        text = filter_(text, place)
        if not text:
            return ""
    return text
