"""When each of those who run will end, if nobody else comes: processor sharing, played to its end.

Sequences of one model decode together, a token of each in every step, at a speed that depends on how many they are. So
they end in the order of what they have left, and each end makes the others faster. A test of speed alone, as the paper has it,
takes today's crowd for the whole future and turns away work that would have been done in time (ours).

Prompts are evaluated in steps of their own that halt everyone, so what is left of them is charged to all (ALGORITHMS 1.6, 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple, Protocol

from policies.candidate import Candidate

EPSILON_S = 1e-9


class Pace(Protocol):
    """How fast the engine is, as far as admission asks."""

    def decode_per_s(self, sequences: int) -> float:
        """Tokens per second of each of so many sequences."""
        ...

    def prefill_s(self, tokens: int) -> float:
        """Seconds that a prompt of so many tokens takes from everyone."""
        ...


class Share(NamedTuple):
    """One of those who share the engine; they sort by how soon they end. Times are seconds from now; `inf` is a promise that is not to be kept."""

    tokens: float
    """Output tokens left."""
    id: int
    first_s: float
    whole_s: float

    @property
    def promised(self) -> bool:
        """Whether there is a promise to keep."""
        return self.first_s < inf or self.whole_s < inf


def share_of(one: Candidate, now: float) -> Share:
    """What a request still needs, and by when. A first token that has come is no promise any more."""
    first_s = inf if one.first_due_s is None or one.produced else one.first_due_s - now
    whole_s = inf if one.whole_due_s is None else one.whole_due_s - now
    return Share(max(0.0, one.tokens), one.id, first_s, whole_s)


def ends_s(shares: Sequence[Share], halt_s: float, pace: Pace) -> list[float]:
    """Seconds from now at which each ends; `shares` sorted, `halt_s` of prompts evaluated first."""
    ends: list[float] = []
    at_s, done = halt_s, 0.0
    for n, share in enumerate(shares):
        if share.tokens > done:
            at_s += (share.tokens - done) / pace.decode_per_s(len(shares) - n)
            done = share.tokens
        ends.append(at_s)
    return ends


def broken(shares: Sequence[Share], halt_s: float, pace: Pace) -> list[Share]:
    """Those whose promise will not be kept."""
    if not shares:
        return []
    first_s = halt_s + 1.0 / pace.decode_per_s(len(shares))
    return [
        share
        for share, end_s in zip(shares, ends_s(shares, halt_s, pace), strict=True)
        if end_s > share.whole_s + EPSILON_S or first_s > share.first_s + EPSILON_S
    ]
