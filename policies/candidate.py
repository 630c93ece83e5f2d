"""What admission sees of a request, and what it says: the values that every admission policy shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from policies.request import Class


class Candidate(NamedTuple):
    """One request of one model, waiting or running. Times are absolute, in seconds. Many are made for each decision."""

    id: int
    klass: Class
    arrived_s: float
    first_due_s: float | None
    """When its first token was promised; None where that was not."""
    whole_due_s: float | None
    """When its whole answer was promised; None where that was not."""
    prompt_tokens: int
    """Prompt tokens still to be evaluated: an estimate until the worker has laid the prompt out."""
    tokens: float
    """Output tokens that are still expected of it."""
    tokens_max: int
    """Output tokens that its caller allows, those it has produced included."""
    produced: int = 0
    """Output tokens so far."""


class Verdict(NamedTuple):
    """Who starts now. The scheduler asks again until nobody does."""

    start: int | None = None
    wake_s: float | None = None
    """When to ask again though no event comes; None: an event will."""


class Admission(Protocol):
    """Who of those that wait for one model may start. One object a model; it forgets whom it no longer sees."""

    def next(
        self, waiting: Sequence[Candidate], running: Sequence[Candidate], *, now: float
    ) -> Verdict:
        """Choose one of `waiting`, which come in the queue's order, to run beside `running`."""
        ...
