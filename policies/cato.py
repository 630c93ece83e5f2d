"""Who may start now, and who must make way. Questions only: they change nothing."""

from __future__ import annotations

from collections.abc import Sequence

from policies.baselines import static_cap
from policies.book import Entry, Stage
from policies.limits import Limits
from policies.request import Class, Kind
from policies.roster import ModelState

_AT_THE_CURSOR = frozenset({Kind.COMPLETE, Kind.POPUP})


def is_welcome(model: ModelState, entry: Entry, *, limits: Limits, now: float) -> bool:
    """Whether a model may take this request although somebody may be waiting for its memory.

    1. Nobody is: yes.
    2. It is less urgent than what waits for the memory: no.
    3. It was there before the wish: yes, so that a swap serves all who came in time.
    4. It came later: for a bounded while, so that two busy models do not swap at every request.
    """
    wish = model.wish
    if wish is None:  # 1
        return True
    if entry.request.klass > wish.by:  # 2
        return False
    return entry.arrived_s <= wish.since_s or now < wish.since_s + limits.drain_for(wish.by)  # 3, 4


def has_room(model: ModelState, crew: Sequence[Entry], entry: Entry) -> bool:
    """Whether this request may start beside the crew (those who hold a sequence).

    1. Nobody shares steps with one that is alone, nor does that one with anybody.
    2. After an eviction the cache is known to be full: only interactive work may try before somebody has left.
    3. There is a free sequence; of several, the last is kept for interactive work.
    """
    if crew and (entry.alone or any(other.alone for other in crew)):  # 1
        return False
    interactive = entry.request.klass is Class.INTERACTIVE
    if model.full and not interactive:  # 2
        return False
    return len(crew) < (sequences(model) if interactive else lesser_sequences(model))  # 3


def sequences(model: ModelState) -> int:
    """How many requests may run at once."""
    return static_cap(model.view, model.sequences)


def lesser_sequences(model: ModelState) -> int:
    """How many of them may be other than interactive, on a model that completes at the cursor."""
    cap = sequences(model)
    return cap - 1 if cap > 1 and model.view.kinds & _AT_THE_CURSOR else cap


def yielding(waiting: int, crew: Sequence[Entry]) -> list[Entry]:
    """Who of the crew must make way for so many interactive requests that wait for a sequence.

    As many, less those already on their way out; the least urgent first, and of those the latest.
    """
    leaving = sum(entry.stage is Stage.STOPPING for entry in crew)
    lesser = [
        entry
        for entry in crew
        if entry.stage is Stage.RUNNING and entry.request.klass > Class.INTERACTIVE
    ]
    lesser.sort(key=lambda entry: entry.order, reverse=True)
    return lesser[: max(0, waiting - leaving)]


def in_the_way(model: ModelState, crew: Sequence[Entry]) -> list[Entry]:
    """Who of the crew must make way for what waits for the model's memory: background work, for anything above it."""
    wish = model.wish
    if wish is None or wish.by >= Class.BACKGROUND:
        return []
    return [
        entry
        for entry in crew
        if entry.stage is Stage.RUNNING and entry.request.klass >= Class.BACKGROUND
    ]
