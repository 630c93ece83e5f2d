"""One request's life as a value: what happened to it, when, because of whom, and whether its promise was kept.

Times are the journal's own, in seconds. `daemon/lives.py` reads lives out of a journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from policies.messages import Outcome, Reason
from policies.request import Request

GAPS_LATE_SHARE = 0.05
"""Of the pauses between tokens, how many may be longer than was promised."""

UNSERVABLE = frozenset({Reason.INVALID, Reason.TOO_LONG, Reason.NO_MODEL})
"""Ends that nobody could have kept a request from: they break no promise."""


class Want(StrEnum):
    """What a request waits for."""

    LOADING = "its model to load"
    MEMORY = "memory for its model"
    URGENT = "more urgent work"
    SEQUENCE = "a free sequence"
    TURN = "others to finish: no more of its class may run at once"


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to it. `by` is the request for whose sake."""

    at_s: float
    what: str
    detail: str = ""
    by: int | None = None


@dataclass(slots=True)
class Life:
    """What a journal says of one request. `request` and `arrived_s` are None where it began before the journal."""

    id: int
    model: str | None = None
    request: Request | None = None
    arrived_s: float | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int = 0
    """Those that the journal saw."""
    first_s: float | None = None
    last_s: float | None = None
    """When it got its first and its latest token."""
    gap_max_s: float | None = None
    gaps: int = 0
    gaps_late: int = 0
    """Pauses between tokens, and those longer than promised."""
    waited_s: float = 0.0
    """All the time it spent in a queue until its last wait ended."""
    waiting_since_s: float | None = None
    wants: Want | None = None
    """Since when it waits and what for, while it does."""
    ended_s: float | None = None
    outcome: Outcome | None = None
    reason: Reason | None = None
    moments: list[Moment] = field(default_factory=list)

    def note(self, at_s: float, what: str, detail: str = "", by: int | None = None) -> None:
        """Something happened."""
        self.moments.append(Moment(at_s, what, detail, by))

    def since_arrival(self, at_s: float | None) -> float | None:
        """A time of the journal as seconds of this life."""
        return None if at_s is None or self.arrived_s is None else at_s - self.arrived_s

    def waited_until(self, now: float) -> float:
        """All the time it spent in a queue up to now, this wait included; seconds."""
        since_s = self.waiting_since_s
        return self.waited_s + (0.0 if since_s is None else now - since_s)

    def take_tokens(self, n_tokens: int, now: float) -> None:
        """It got some tokens. What its engine still writes after its end reaches nobody."""
        if self.ended_s is not None:
            return
        self.output_tokens += n_tokens
        if self.last_s is not None:
            self._take_gap(now - self.last_s)
        elif self.arrived_s is not None:  # else the first token may have come before the journal
            self.first_s = now
            self.note(now, "first token")
        self.last_s = now

    def _take_gap(self, gap_s: float) -> None:
        promised_s = self.request.promise.gap_s if self.request else None
        self.gaps += 1
        self.gaps_late += promised_s is not None and gap_s > promised_s
        self.gap_max_s = max(gap_s, self.gap_max_s or 0.0)


def kept(life: Life, now: float) -> bool | None:
    """Whether its promise was kept. None: nothing was promised, that is not known yet, or the caller left in time.

    1. Nothing was promised, or it is not known what.
    2. A time that was promised has passed: no, even if the caller left afterwards.
    3. Too many pauses were too long: no.
    4. The daemon refused it or failed, and could have served it: no.
    5. It is done: yes.
    """
    promise = life.request.promise if life.request else None
    if promise is None or promise == type(promise)():  # 1
        return None
    end_s = now if life.ended_s is None else life.ended_s
    first_s = end_s if life.first_s is None else life.first_s
    for limit_s, at_s in ((promise.first_token_s, first_s), (promise.whole_s, end_s)):
        took_s = life.since_arrival(at_s)
        if limit_s is not None and took_s is not None and took_s > limit_s:  # 2
            return False
    if life.gaps_late > GAPS_LATE_SHARE * life.gaps:  # 3
        return False
    if life.outcome in (Outcome.REFUSED, Outcome.FAILED):  # 4
        return None if life.reason in UNSERVABLE else False
    return True if life.outcome is Outcome.DONE else None  # 5
