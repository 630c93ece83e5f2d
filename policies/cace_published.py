"""CACE's eviction score as its paper has it, as far as that is known (arXiv 2506.18796; ALGORITHMS.md 2.2).

    score = 1 / (1 + ln t) + 1 / (1 + l / 100) + i / w + w1 * o          the highest leaves

t is when it was last used, l its load time in seconds, i its place in the window of w requests to come. The yardstick
for `policies/cace.py`, kept with its weaknesses: t fades into nothing as the day goes on, and load times of seconds hardly count.

What is not known is our reading: the highest score leaves (all terms agree under that alone); t is in seconds since
the first use of all, at least 1; who is not in the window has i = w; the last term, cut off in every copy, is how lax
its tasks are times how long its answers, both from 0 to 1. Busy models leave last instead of never, as in all the others.
"""

from __future__ import annotations

from math import log

from policies.cace import sensitivity
from policies.eviction import Demand, Resident
from policies.evictions_plain import InTurn

WINDOW = 16
LOAD_SCALE_S = 100.0
TOKENS_HALF = 256.0


def score(one: Resident, demand: Demand) -> float:
    """The higher, the sooner it leaves."""
    recency = 1 / (1 + log(max(1.0, one.used_s)))
    reload = 1 / (1 + one.reload_s / LOAD_SCALE_S)
    window = (demand.queued + demand.chains)[:WINDOW]
    ahead = window.index(one.name) / WINDOW if one.name in window else 1.0
    lax = (1 - sensitivity(one.classes)) * one.tokens / (one.tokens + TOKENS_HALF)
    return recency + reload + ahead + lax


PUBLISHED = InTurn("cace-published", lambda one, demand: -score(one, demand))
