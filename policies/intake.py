"""Whether a new request may wait at all, and who must go for it. Questions only: they change nothing."""

from __future__ import annotations

from policies.book import Book, Entry, Stage
from policies.limits import Limits
from policies.messages import Outcome, Reason
from policies.request import Class
from policies.roster import ModelState
from policies.view import Phase


def objection(model: ModelState | None, now: float) -> tuple[Outcome, Reason] | None:
    """Why nobody can serve a request for this model, now or soon; None when it may be waited for."""
    if model is None:
        return Outcome.REFUSED, Reason.NO_MODEL
    if model.phase is Phase.FAILED:
        return Outcome.FAILED, Reason.LOAD_FAILED
    if now < model.barred_until_s:
        return Outcome.FAILED, Reason.ENGINE
    return None


def make_room(klass: Class, book: Book, limits: Limits) -> list[Entry] | None:
    """Who must leave the queue so that one more of this class may wait; None when nobody can make room.

    1. There is room.
    2. The class has its share: only speculative work replaces its own kind, since the newest guess is the best.
    3. The queue is full: the oldest speculative request goes.
    """
    waiting = book.count(Stage.QUEUED)
    in_class = waiting[klass] >= limits.queue_class_max
    if not in_class and sum(waiting.values()) < limits.queue_max:  # 1
        return []
    if in_class and klass is not Class.SPECULATIVE:  # 2
        return None
    guesses = (entry for entry in book.queued() if entry.request.klass is Class.SPECULATIVE)
    oldest = next(guesses, None)
    return None if oldest is None else [oldest]  # 3
