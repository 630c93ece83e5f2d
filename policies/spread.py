"""A measured quantity as its mean and its ninth decile, of which the past fades."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

NEWEST = 0.1
"""What a new value weighs beside all before it, once there are ten of them."""
DECILE = 1.2816
"""Deviations from the mean to the ninth decile of a normal quantity; of an exponential one they are 1.30."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and variance, both decayed: the last ten values make two thirds of them."""

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def after(self, value: float) -> Spread:
        """The spread with one more value; the first ones weigh alike."""
        part = max(NEWEST, 1 / (self.count + 1))
        off = value - self.mean
        variance = (1 - part) * (self.variance + part * off * off)
        return Spread(self.count + 1, self.mean + part * off, variance)

    @property
    def decile(self) -> float:
        """What nine values in ten stay under, more or less."""
        return self.mean + DECILE * sqrt(self.variance)
