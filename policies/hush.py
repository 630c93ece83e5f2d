"""When lesser work may step while more urgent work runs in another worker (invariant 3 of the design; ENGINE.md 12).

1. While it lasts a pause holds back what is less urgent than `below`; what is as urgent goes on as if there were none.
2. Of what is held back one step is due `progress_s` after the last one, or after the pause began: nothing starves, even
   if the pause never ended.
3. Pauses that follow on each other count as one until such a step has come in between: however short the times between
   them are, they cannot keep it from its turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Hush:
    """Whether a pause lasts, and since when what it holds back has made no step. Times are those of the caller's clock."""

    lasts: bool = False
    below: float = -math.inf
    progress_s: float = 0.0
    since_s: float | None = None
    """None: such work has made a step since the last pause."""

    @property
    def due_s(self) -> float:
        """From when on what is held back may make a step; past while no pause lasts."""
        if not self.lasts or self.since_s is None:
            return -math.inf
        return self.since_s + self.progress_s

    def allows(self, urgency: float, now: float) -> bool:
        """Whether work of that urgency may step now."""
        return urgency >= self.below or now >= self.due_s

    def paused(self, *, below: float, progress_s: float, now: float) -> Hush:
        """A pause begins, or takes the place of the one that lasts."""
        since_s = now if self.since_s is None else self.since_s  # 3
        return Hush(lasts=True, below=below, progress_s=progress_s, since_s=since_s)

    def unpaused(self) -> Hush:
        """The pause is over."""
        return replace(self, lasts=False)

    def stepped(self, least_urgency: float, now: float) -> Hush:
        """A step ran to its end; that is the urgency of the least urgent work in it."""
        if least_urgency >= self.below:
            return self
        return replace(self, since_s=now if self.lasts else None)
