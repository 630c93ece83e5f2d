"""How the fake engine behaves: what its steps cost, what it writes, and when it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from engines.engine import Job


class StepTime(Protocol):
    """What a step costs."""

    def __call__(self, *, rows: int, tokens_each: int, longest_cells: int) -> float:
        """Seconds of a step of so many rows; `longest_cells`: the longest of its sequences when it ends."""


def steady(
    *,
    tokens_per_s: float = 1_000.0,
    prefill_tokens_per_s: float = 20_000.0,
    contention: float = 0.1,
) -> StepTime:
    """Make a cost of two speeds: of decoding alone, and of prompts. Each further row lengthens a decode step by `contention`."""

    def step_s(*, rows: int, tokens_each: int, longest_cells: int) -> float:  # noqa: ARG001 -- attention costs nothing here
        if tokens_each > 1:
            return rows * tokens_each / prefill_tokens_per_s
        return (1 + contention * (rows - 1)) / tokens_per_s

    return step_s


def write_words(job: Job) -> str:
    """Text that depends on nothing but the job's number: twelve words."""
    return "".join(f" word{job.request_id}_{n}" for n in range(12))


@dataclass(frozen=True, slots=True)
class Knobs:
    """How the engine behaves. Times are seconds, sizes bytes."""

    load_s: float = 0.0
    step_s: StepTime = field(default_factory=steady)
    budget_tokens: int = 128
    """The most tokens of one step."""
    quantum_s: float = 0.05
    can_abort: bool = True
    """Whether a step can be broken off inside."""
    abort_s: float = 0.0
    """How long that takes."""
    sequences: int = 4
    context_tokens: int = 8_192
    used_bytes: int = 0
    load_fails: bool = False
    dies_loading: bool = False
    dies_at_step: int | None = None
    """The worker dies inside its n-th step, counted from 1."""
    dies_inside: Callable[[Job], bool] | None = None
    """The worker dies inside any step that holds such a job."""
    script: Callable[[Job], str] = write_words
