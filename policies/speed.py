"""How fast a model is: how fast it has been lately, and what its next step and a whole request would take.

`Speed` is for status pages: sums that decay by a constant factor a step, so that a long step weighs as much as it
lasted. An `Estimator` (policies/estimators.py, policies/step_model.py) learns what a step costs by its load; what a
request costs follows from that here, as long as nobody comes or goes. `policies/outlook.py` lets them go.

A step of our worker is a decode step or a prompt's chunk, and they take turns (policies/step.py). So a prompt beside
running requests pays for their decode steps, one a chunk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from policies.messages import Stepped

DECAY = 0.95
"""What is left of the past after one more step: the last 20 steps make two thirds of the average."""
CHUNK_TOKENS = 128
"""Prompt tokens of one step, where nothing else is known: what a worker on a processor takes."""


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


class Load(NamedTuple):
    """What one step has to do. With prompt tokens it is a prompt's chunk, else a decode step."""

    prefill_tokens: int = 0
    sequences: int = 0
    """How many requests decode a token."""
    cells: int = 0
    """Cells in use in the cache, of all sequences."""


def load_of(step: Stepped) -> Load:
    """The load of a step that ran. The first token of a prompt comes from its last chunk and is no decode step."""
    return Load(step.prefilled_tokens, len(step.emitted), step.used_cells)


class Estimator(Protocol):
    """What steps cost, learnt from those that ran. Answers are finite and above 0, whatever was seen."""

    def observe(self, load: Load, duration_s: float) -> None:
        """Take one step that ran into account; one of no work, or of no time, says nothing."""
        ...

    def step_s(self, load: Load) -> float:
        """Seconds of a step of this load."""
        ...

    @property
    def drifted(self) -> bool:
        """Whether it has lately been wrong in one direction: the machine has changed, and it learns faster."""
        ...


def best_width(estimator: Estimator, sequences: int) -> tuple[int, float]:
    """How many of so many requests decode at once, and the seconds of that step.

    All of them, or a power of two in turns where that serves more of them a second, as the worker does it
    (policies/width.py).
    """
    widths = [sequences, *(1 << n for n in range((sequences - 1).bit_length()))]
    times = ((width, estimator.step_s(Load(sequences=width))) for width in widths)
    return max(times, key=lambda one: one[0] / one[1])


def decode_per_s(estimator: Estimator, sequences: int) -> float:
    """Tokens per second that each of so many equally urgent requests gets, while no prompt is evaluated.

    The newcomer is one of `sequences`: a load is counted once.
    """
    sequences = max(1, sequences)
    width, step_s = best_width(estimator, sequences)
    return width / (sequences * step_s)


def prefill_s(
    estimator: Estimator,
    tokens: int,
    *,
    beside: int = 0,
    turns: float = 1.0,
    chunk_tokens: int = CHUNK_TOKENS,
) -> float:
    """Seconds until so many prompt tokens that are not in the cache are evaluated; 0 for none.

    `beside` so many decoding requests, who have `turns` decode steps for each chunk: 1 where they are as urgent
    (policies/step.py, rule 4), 0 where the prompt goes before them (rule 3).
    """
    if tokens <= 0:
        return 0.0
    whole, rest = divmod(tokens, chunk_tokens)
    spent_s = whole * estimator.step_s(Load(prefill_tokens=chunk_tokens)) if whole else 0.0
    if rest:
        spent_s += estimator.step_s(Load(prefill_tokens=rest))
    if beside:
        _, step_s = best_width(estimator, beside)
        spent_s += turns * math.ceil(tokens / chunk_tokens) * step_s
    return spent_s


def first_token_s(
    estimator: Estimator,
    prompt_tokens: int,
    *,
    beside: int = 0,
    turns: float = 1.0,
    chunk_tokens: int = CHUNK_TOKENS,
) -> float:
    """Seconds from its start to a request's first token, which comes out of its last chunk.

    `prompt_tokens` are those not in the cache; of a prompt that is there altogether one is evaluated anyway.
    """
    tokens = max(1, prompt_tokens)
    return prefill_s(estimator, tokens, beside=beside, turns=turns, chunk_tokens=chunk_tokens)


def whole_s(
    estimator: Estimator,
    prompt_tokens: int,
    output_tokens: float,
    *,
    beside: int = 0,
    turns: float = 1.0,
    chunk_tokens: int = CHUNK_TOKENS,
) -> float:
    """Seconds from its start to a request's last token, if the load stays as it is."""
    first_s = first_token_s(
        estimator, prompt_tokens, beside=beside, turns=turns, chunk_tokens=chunk_tokens
    )
    return first_s + max(0.0, output_tokens - 1) / decode_per_s(estimator, beside + 1)
