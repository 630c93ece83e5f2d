"""How fast a model has been lately, from the steps it reported.

Sums that decay by a constant factor a step, so that a long step weighs as much as it lasted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from policies.messages import Stepped

DECAY = 0.95
"""What is left of the past after one more step: the last 20 steps make two thirds of the average."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens and the seconds they took, both decayed."""

    tokens: float = 0.0
    seconds: float = 0.0

    def after(self, tokens: float, seconds: float) -> Rate:
        """The rate with one more step taken into account."""
        return Rate(self.tokens * DECAY + tokens, self.seconds * DECAY + seconds)

    @property
    def per_s(self) -> float:
        """Tokens per second; 0 where nothing was measured."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Speed:
    """Prefill: prompt tokens per second of a whole step. Decode: tokens per second that one request sees."""

    prefill: Rate = Rate()
    decode: Rate = Rate()

    def after(self, step: Stepped) -> Speed:
        """The speed with one more step taken into account.

        A step that also prefills says nothing about decoding alone, so only pure decode steps count for it;
        what is decoded beside a prefill makes the prefill look slower, which is what a newcomer will meet.
        """
        if step.prefilled_tokens:
            return replace(self, prefill=self.prefill.after(step.prefilled_tokens, step.duration_s))
        if step.emitted:
            mean = sum(count for _, count in step.emitted) / len(step.emitted)
            return replace(self, decode=self.decode.after(mean, step.duration_s))
        return self
