"""How many decoding rows one step has. More is not always faster: the time of a step by its width is what was measured.

1. A width that is not known yet, of all the rows, is tried at once: on most machines it is the best.
2. Beside it only powers of two are looked at, where kernels change their ways: those below it, and the next one if pads
   reach it. Now and then a step is of one never tried, wide ones first; rarely, of the one measured longest ago.
3. Else the one that serves most rows a second, all of them if that is nearly the best, then narrower, then padded.
"""

from __future__ import annotations

from policies.step_time import StepTimes

MARGIN = 0.05
"""A rate or a time that is nearer than this to another is not worth a change."""
PADS_MAX = 3
EXPLORE_STEPS = 8
"""Every so many decode steps one is of a width not tried yet."""
REFRESH_STEPS = 256
"""Every so many decode steps one is of the width measured longest ago."""


def best_width(
    times: StepTimes, *, count: int, spare: int, width_max: int, cells: int, decodes: int
) -> int:
    """Choose the width of a decode step for `count` rows, of which it may serve some, or all and pads.

    `spare` rows could pad it; `cells` is the longest cache, `decodes` the number of decode steps before.
    """
    count = min(count, width_max)
    if count == 1 or not times.tried(count):
        return count  # 1
    widths = _widths(count, min(count + min(spare, PADS_MAX, count - 1), width_max))
    tried = [width for width in widths if times.tried(width)]
    if decodes % EXPLORE_STEPS == 0 and len(tried) < len(widths):
        return next(width for width in widths if width not in tried)  # 2
    if decodes % REFRESH_STEPS == 0:
        return min(tried, key=times.last)  # 2
    rates = {width: min(width, count) / _decode_s(times, width, cells) for width in tried}
    enough = max(rates.values()) * (1 - MARGIN)
    return next(width for width in tried if rates[width] >= enough)  # 3


def _widths(count: int, padded_max: int) -> list[int]:
    """Rule 2: all rows, fewer, more with pads."""
    powers = [1 << n for n in reversed(range(padded_max.bit_length()))]
    fewer = [power for power in powers if power < count]
    return [count, *fewer, *(power for power in powers if count < power <= padded_max)]


def free_width(
    times: StepTimes, width: int, cells: int, *, wider_max: int, wider_cells: int
) -> int:
    """Choose the widest step that takes hardly longer than one of `width`; the others in it come along for nothing."""
    enough_s = (1 + MARGIN) * _decode_s(times, width, cells)
    wider = range(wider_max, width, -1)
    return next((w for w in wider if _decode_s(times, w, wider_cells) <= enough_s), width)


def _decode_s(times: StepTimes, width: int, cells: int) -> float:
    return times.predict(rows=width, tokens_each=1, longest_cells=cells)
