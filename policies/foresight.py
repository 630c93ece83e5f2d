"""What is learnt of how models are used: by whom, how often, in which order; and how soon each may be used again."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from policies.request import Kind
from policies.spread import Spread

CHANGES_MAX = 64
"""Changes from one model to another that the order of use is learnt from."""
STEP_WORTH = 0.8
"""What a use is worth that comes one change later."""
FADE = 0.95
"""What is left of the past of a model's kinds after one more request."""
HALF_LIFE_S = 600.0
"""In that time a request counts half as much for how often a model is used."""
NEAR_S = 60.0
"""A use that is so far away is worth half of one now."""
BINS = 16
"""Of pauses between two uses: from under a second to hours, each twice the one before."""
PAUSE_FADE = 0.98


class Habits:
    """How one model is used."""

    def __init__(self) -> None:
        self.used_s = -math.inf
        self.tokens = Spread()
        self._kinds: dict[Kind, float] = {}
        self._uses = 0.0
        self._pauses = [0.0] * BINS

    def used(self, kind: Kind, now: float) -> None:
        """A request of that kind came for it."""
        self._uses = self.uses(now) + 1
        if self.used_s > -math.inf:
            self._pauses = [PAUSE_FADE * count for count in self._pauses]
            self._pauses[_bin(now - self.used_s)] += 1
        for known in self._kinds:
            self._kinds[known] *= FADE
        self._kinds[kind] = self._kinds.get(kind, 0.0) + 1
        self.used_s = now

    def answered(self, tokens: int) -> None:
        """An answer of it had so many tokens."""
        self.tokens = self.tokens.after(float(tokens))

    def uses(self, now: float) -> float:
        """Requests, of which the past fades."""
        if self._uses == 0:
            return 0.0
        return float(self._uses * 0.5 ** ((now - self.used_s) / HALF_LIFE_S))

    def kinds(self) -> tuple[tuple[Kind, float], ...]:
        """The share of each kind among the last requests."""
        total = sum(self._kinds.values())
        return tuple((kind, count / total) for kind, count in self._kinds.items())

    def again(self, now: float) -> float:
        """How soon it is used again by the pauses it makes: of those, the ones that are not over yet."""
        idle_s = now - self.used_s
        if idle_s == math.inf:
            return 0.0
        worth = weight = 0.0
        for index, count in enumerate(self._pauses):
            middle_s = 0.75 * 2.0**index
            if index >= _bin(idle_s):
                left_s = max(0.25 * middle_s, middle_s - idle_s)
                weight += count
                worth += count * NEAR_S / (NEAR_S + left_s)
        prior = NEAR_S / (NEAR_S + max(1.0, idle_s))
        return (worth + 0.5 * prior) / (weight + 0.5)


def _bin(pause_s: float) -> int:
    return min(BINS - 1, max(0, math.ceil(math.log2(max(1.0, pause_s)))))


class Order:
    """Which model follows on which: a chain of the first order over the last changes."""

    def __init__(self) -> None:
        self._seen: deque[str] = deque(maxlen=CHANGES_MAX + 1)

    def used(self, model: str) -> None:
        """It is in use; only a change from another one counts."""
        if not self._seen or self._seen[-1] != model:
            self._seen.append(model)

    def soon(self, models: Iterable[str], start: str | None = None) -> dict[str, float]:
        """What each one's next use is worth, seen from the one in use: `STEP_WORTH` to the power of the changes until then."""
        names = list(models)
        if not self._seen:
            return dict.fromkeys(names, 0.0)
        seen = list(self._seen)
        if start is not None and seen[-1] != start:
            seen.append(start)
        after: dict[str, dict[str, float]] = {}
        for one, then in zip(seen, seen[1:], strict=False):
            nexts = after.setdefault(one, {})
            nexts[then] = nexts.get(then, 0.0) + 1
        return {name: self._worth(after, name, seen[-1]) for name in names}

    @staticmethod
    def _worth(after: dict[str, dict[str, float]], goal: str, start: str) -> float:
        worth = dict.fromkeys(after, 0.0)
        for _ in range(24):
            worth = {
                one: STEP_WORTH
                * sum(
                    count * (1.0 if then == goal else worth.get(then, 0.0))
                    for then, count in nexts.items()
                )
                / sum(nexts.values())
                for one, nexts in after.items()
            }
        return worth.get(start, 0.0)


class Foresight:
    """All models' habits and the order in which they are used."""

    def __init__(self) -> None:
        self._habits: dict[str, Habits] = {}
        self.order = Order()

    def used(self, model: str, kind: Kind, now: float) -> None:
        """A request came for it."""
        self.of(model).used(kind, now)
        self.order.used(model)

    def of(self, model: str) -> Habits:
        """That model's habits."""
        return self._habits.setdefault(model, Habits())

    def likely(self, models: Iterable[str], *, start: str, now: float) -> dict[str, float]:
        """How soon each is used again once `start` is in use: by its own pauses, or by the order, whichever is sooner."""
        names = list(models)
        by_order = self.order.soon(names, start)
        return {name: (by_order[name] + self.of(name).again(now)) / 2 for name in names}
