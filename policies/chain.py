"""Chains: tasks that are made of several calls and promised end to end; declared as data, and what is learnt of them.

A chain says which calls a task makes, in which order, and within what time the person who began it wants to see
something. What happens to its runs is kept by `policies/runs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies.request import Kind
from policies.spread import Spread

LEARNT = 5
"""Values from which on a measured time stands for the declared weight."""
NEED_S_MIN = 0.001
"""No call is taken to need less: shares are parts of a sum."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a chain."""

    name: str
    kind: Kind | None = None
    """What its requests are, where their endpoint does not know; it decides their class and their model."""
    weight: float = 1.0
    """Its part of the chain's time, beside the weights of the other calls, until its time is learnt."""
    times: float = 1.0
    """How often a run makes it, until that is learnt: 0.3 for a repair that is seldom needed, 2 for a second try."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A task. Its calls come in this order; any of them may be left out or made again."""

    name: str
    calls: tuple[Call, ...]
    within_s: float
    """The promise: seconds from the arrival of a run's first call."""
    first_token: bool = False
    """Whether it is kept by the first token that a person sees, the first of the last call, or else by its end."""


class Learnt:
    """A chain, with what its runs have shown. Its size is that of the chain."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.runs = 0
        self.times = [call.times for call in chain.calls]
        """How often a run makes each call."""
        self.took = [Spread() for _ in chain.calls]
        """Seconds from each call's start to its end; or to its first token, where that is what was promised."""
        self.paused = [Spread() for _ in chain.calls]
        """Seconds before each call in which no call of its run was inside."""

    def shows_first(self, call: int) -> bool:
        """Whether the chain's promise is on this call's first token."""
        return self.chain.first_token and call == len(self.chain.calls) - 1

    def needs_s(self) -> list[float]:
        """What each call needs: as measured; else by its weight beside those that were; else by weights alone."""
        weights = [call.weight for call in self.chain.calls]
        known = [n for n, took in enumerate(self.took) if took.count >= LEARNT]
        if known:
            a_weight_s = sum(self.took[n].decile for n in known) / sum(weights[n] for n in known)
        else:
            a_weight_s = self.chain.within_s / sum(weights)
        return [
            max(NEED_S_MIN, took.decile if n in known else weight * a_weight_s)
            for n, (took, weight) in enumerate(zip(self.took, weights, strict=True))
        ]

    def least_s(self) -> list[float]:
        """The mean that each call took; 0 where it is not known."""
        return [took.mean if took.count >= LEARNT else 0.0 for took in self.took]

    def pauses_s(self, ahead: Sequence[float], call: int) -> float:
        """The pauses still to come on the path behind a call."""
        path = zip(ahead[call + 1 :], self.paused[call + 1 :], strict=True)
        return sum(times * paused.mean for times, paused in path)

    def ahead(self, call: int, made: Sequence[int]) -> list[float]:
        """How often a run is still to make each call: this one now, and perhaps again; `made` counts it already."""
        again = max(0.0, self.times[call] - made[call])
        return [0.0] * call + [1.0 + again] + self.times[call + 1 :]

    def learn_run(self, made: Sequence[int]) -> None:
        """A run is over that made each call so often. What was declared weighs as much as `LEARNT` runs."""
        self.runs += 1
        part = max(0.1, 1 / (self.runs + LEARNT))
        self.times = [old + part * (new - old) for old, new in zip(self.times, made, strict=True)]
