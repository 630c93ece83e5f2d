"""Feeds a journal's events to a fresh scheduler: the actions must be those of the journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from daemon.journal import Entry
from policies.limits import Limits
from policies.scheduler import Scheduler
from policies.view import ModelView


def replay(
    entries: Iterable[Entry], models: Sequence[ModelView], limits: Limits
) -> tuple[Entry, tuple] | None:
    """The first entry whose actions differ, with those taken now; None when all agree."""
    scheduler = Scheduler(models, limits)
    for entry in entries:
        actions = tuple(scheduler.handle(entry.event, now=entry.now))
        if actions != entry.actions:
            return entry, actions
    return None
