"""How long the chunks of a prompt are where steps are broken off for others: what is broken off was for nothing.

1. The sizes are the budget and its halves.
2. One that is not known yet is tried, short ones first; where a step was broken off lately none that is longer than
   what is known, since it might never end.
3. Else the shortest of those that are known which reads nearly as many tokens a second as the best.
"""

from __future__ import annotations

from policies.step_time import StepTimes

MARGIN = 0.1
"""So much speed is given for half the loss."""
HALVINGS = 3
"""Below an eighth of the budget no machine was seen that reads as fast."""
SHORTEST = 8
"""Tokens: no chunk goes below it (CHUNK_TOKENS_MIN of policies/step.py)."""
CALM_CHUNKS = 16
"""A size is tried only when so many chunks have ended since one was broken off."""


def short_chunk(times: StepTimes, *, budget_tokens: int, cells: int, calm: bool) -> int:
    """Return the tokens of the next chunk of a prompt that has `cells` tokens in the cache.

    `calm`: whether no step was broken off lately.
    """
    halves = [budget_tokens >> n for n in range(1, HALVINGS + 1)]
    sizes = sorted([budget_tokens, *(size for size in halves if size >= SHORTEST)])
    known = [size for size in sizes if times.tried_chunk(size)]
    most = budget_tokens if calm or not known else known[-1]
    untried = next((size for size in sizes if size not in known and size <= most), None)
    if untried is not None:
        return untried  # 2
    rates = {size: size / _chunk_s(times, size, cells) for size in known}
    enough = max(rates.values()) * (1 - MARGIN)
    return min(size for size, rate in rates.items() if rate >= enough)  # 3


def _chunk_s(times: StepTimes, tokens: int, cells: int) -> float:
    return times.predict(rows=1, tokens_each=tokens, longest_cells=cells + tokens)
