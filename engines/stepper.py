"""What works in a worker, step by step: the batcher of a model that writes, or the embedder of one that makes vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engines.batcher import Told
from engines.run import Arrival

__all__ = ["Stepper", "Told"]


class Stepper(Protocol):
    """One thread owns it; only `hurry` and `cached_tokens` may be called from another (ENGINE.md 3)."""

    @property
    def rest_s(self) -> float | None:
        """How long there will be nothing to step: 0 where there is something, None until a job comes or a pause ends."""

    def cached_tokens(self, tokens: Sequence[int]) -> int:
        """Return how much of a prompt would not be evaluated again: an estimate."""

    def hurry(self, urgency: float) -> bool:
        """A job was submitted: break off the running step for it, if that is worth it and possible."""

    def pause(self, below: float, progress_s: float) -> None:
        """Let what is less urgent rest, but for a step of it in `progress_s`."""

    def unpause(self) -> None:
        """Let everything go on."""

    def submit(self, arrival: Arrival) -> None:
        """Take a job whose prompt is laid out."""

    def stop(self, request_id: int) -> list[Told]:
        """Take a job back; its sequence is free when this returns."""

    def park(self, request_id: int) -> list[Told]:
        """Take a job back and keep what it has computed, where that can be kept."""

    def aboard(self) -> tuple[int, ...]:
        """Admit what can be admitted, and say who shares the next step."""

    def step(self) -> list[Told]:
        """Take one step; return its frames."""
