"""What is learnt of how models are used: by which classes, how often, in which order; and how soon each is used again."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise

from policies.request import Class
from policies.spread import Spread

CHANGES_MAX = 64
"""Uses that the order is learnt from; one after another of the same model count as one."""
STEP_WORTH = 0.8
"""What a use is worth that comes one change later than another."""
STEPS_MAX = 24
"""So many changes ahead are looked at: what comes later is worth next to nothing."""
FADE = 0.95
"""What is left of a model's classes, or pauses, after one more request: the last twenty make two thirds."""
HALF_LIFE_S = 600.0
"""In that time a request counts half as much for how often a model is used."""
NEAR_S = 60.0
"""A use so far away is worth half of one now."""
BINS = 16
"""Of pauses between two uses: from a second to nine hours, each twice as long as the one before."""
BELIEF = 0.5
"""Pauses that outweigh what is assumed before any was seen: that who has rested for long goes on resting as long."""


class Habits:
    """How one model is used."""

    def __init__(self) -> None:
        self.used_s = -math.inf
        self.tokens = Spread()
        """Of its answers."""
        self._classes: dict[Class, float] = {}
        self._uses = 0.0
        self._pauses = [0.0] * BINS

    def used(self, klass: Class, now: float) -> None:
        """A request of that class came for it."""
        self._uses = self.uses(now) + 1
        if self.used_s > -math.inf:
            self._pauses = [FADE * count for count in self._pauses]
            self._pauses[_bin(now - self.used_s)] += 1
        self._classes = {known: FADE * count for known, count in self._classes.items()}
        self._classes[klass] = self._classes.get(klass, 0.0) + 1
        self.used_s = now

    def answered(self, tokens: int) -> None:
        """An answer of it had so many tokens."""
        self.tokens = self.tokens.after(tokens)

    def uses(self, now: float) -> float:
        """Requests, of which the past fades."""
        return self._uses * math.exp2((self.used_s - now) / HALF_LIFE_S) if self._uses else 0.0

    def classes(self) -> tuple[tuple[Class, float], ...]:
        """The share of each class among the last requests."""
        total = sum(self._classes.values())
        return tuple((klass, count / total) for klass, count in self._classes.items())

    def soon(self, now: float) -> float:
        """How soon it is used again: the mean worth of the pauses it makes, of those that are not over yet."""
        idle_s = now - self.used_s
        if idle_s == math.inf:
            return 0.0
        first = _bin(idle_s)
        left_s = [max(0.0, 0.75 * 2.0**index - idle_s) for index in range(first, BINS)]
        worth = sum(
            count * _worth(s) for count, s in zip(self._pauses[first:], left_s, strict=True)
        )
        return (worth + BELIEF * _worth(idle_s)) / (sum(self._pauses[first:]) + BELIEF)


def _bin(pause_s: float) -> int:
    """The bin whose upper edge, a power of two, is the first that is not below."""
    return min(BINS - 1, math.ceil(math.log2(max(1.0, pause_s))))


def _worth(wait_s: float) -> float:
    return NEAR_S / (NEAR_S + wait_s)


class Order:
    """Which model follows on which: a Markov chain of the first order over the last uses."""

    def __init__(self) -> None:
        self._seen: deque[str] = deque(maxlen=CHANGES_MAX)

    def used(self, model: str) -> None:
        """It is in use."""
        if not self._seen or self._seen[-1] != model:
            self._seen.append(model)

    def soon(self, start: str) -> dict[str, float]:
        """How soon each is used again once `start` is: the mean of `STEP_WORTH` to the power of the changes until then."""
        after = self._after()
        names = sorted(set(self._seen))
        return {name: _reached(after, start, name) for name in names}

    def _after(self) -> dict[str, dict[str, float]]:
        """What follows on each, with its chance."""
        seen = list(self._seen)
        counts: dict[str, dict[str, float]] = {}
        for one, then in pairwise(seen):
            nexts = counts.setdefault(one, {})
            nexts[then] = nexts.get(then, 0.0) + 1
        return {
            one: {then: count / sum(nexts.values()) for then, count in nexts.items()}
            for one, nexts in counts.items()
        }


def _reached(after: dict[str, dict[str, float]], start: str, goal: str) -> float:
    """What reaching the goal from the start is worth: the fixed point, by so many rounds as steps are looked ahead."""
    worth = dict.fromkeys(after, 0.0)
    for _ in range(STEPS_MAX):
        ahead = {**worth, goal: 1.0}
        worth = {
            one: STEP_WORTH * sum(chance * ahead.get(then, 0.0) for then, chance in nexts.items())
            for one, nexts in after.items()
        }
    return worth.get(start, 0.0)


class Foresight:
    """All models' habits, and the order in which they are used."""

    def __init__(self) -> None:
        self.order = Order()
        self._habits: dict[str, Habits] = {}

    def used(self, model: str, klass: Class, now: float) -> None:
        """A request came for it."""
        self.of(model).used(klass, now)
        self.order.used(model)

    def of(self, model: str) -> Habits:
        """That model's habits."""
        return self._habits.setdefault(model, Habits())
