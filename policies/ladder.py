"""What a call gives up when its time does not suffice: tokens first, then the better model, and the promise last.

Of the four rungs that the literature names (a shorter context, fewer tokens, a smaller model that is resident, best
effort) these are the three that a scheduler can decide: the context is cut where the text is, before it decides.
A call is never dropped for its chain's sake; a completion is, by the limit that its own client sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Rung(StrEnum):
    """What is given up."""

    NOTHING = "nothing"
    TOKENS = "tokens"
    MODEL = "model"
    PROMISE = "promise"


@dataclass(frozen=True, slots=True)
class Option:
    """A resident model, and what this call would take there now."""

    model: str
    first_s: float
    """Until its first token: waiting and the prompt."""
    token_s: float
    """For each token."""

    def tokens_in(self, left_s: float) -> int:
        """How many tokens it writes in that time."""
        return max(0, int((left_s - self.first_s) / self.token_s))


@dataclass(frozen=True, slots=True)
class Concession:
    """What a call is given: of which model, and at most how many tokens."""

    rung: Rung
    model: str
    tokens_max: int


def rung_for(
    left_s: float, options: Sequence[Option], *, tokens_min: int, tokens_max: int
) -> Concession:
    """The least that must be given up for a call to end within `left_s` seconds.

    `options` are in order of preference, the model it was meant for first. `tokens_min` is what an answer of its kind
    needs (the ninth decile of those so far), `tokens_max` what its caller allows.

    1. All its tokens fit: nothing.
    2. So many fit that an answer is still likely to be whole: the rest of what is allowed.
    3. The same on another resident model: the model, and the rest.
    4. Nowhere: the promise. It has all its tokens on the model it was meant for, after those that can be kept.
    """
    meant = options[0]
    for option in options:
        tokens = min(tokens_max, option.tokens_in(left_s))
        if tokens == tokens_max and option is meant:  # 1
            return Concession(Rung.NOTHING, meant.model, tokens_max)
        if tokens >= min(tokens_min, tokens_max):  # 2, 3
            rung = Rung.TOKENS if option is meant else Rung.MODEL
            return Concession(rung, option.model, tokens)
    return Concession(Rung.PROMISE, meant.model, tokens_max)  # 4
