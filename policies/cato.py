"""Who may join those who run, who makes way for whom, and who rests for whom. Questions only: they change nothing.

After CATO's idea (arXiv 2503.19876): order by class and slack, and let nothing that was promised less delay a keystroke.

A request that makes way is parked: what it has computed is kept, so that it costs milliseconds, and no sequence has
to stay idle for a keystroke. The newcomer starts in the same breath; its engine lets it wait until the other has left.
"""

from __future__ import annotations

from collections.abc import Sequence

from policies.baselines import static_cap
from policies.book import Entry, Stage
from policies.limits import Limits
from policies.request import Class, Kind
from policies.roster import ModelState

_AT_THE_CURSOR = frozenset({Kind.COMPLETE, Kind.POPUP})
_PROMISED = (Class.FOREGROUND, Class.DEFERRED)


def is_welcome(
    model: ModelState, crew: Sequence[Entry], entry: Entry, *, limits: Limits, now: float
) -> bool:
    """Whether a model may take this request beside its crew, although somebody may be waiting for its memory.

    1. Nobody is: yes.
    2. It is less urgent than what waits for the memory: no.
    3. It was there before the wish: yes, so that a swap serves all who came in time.
    4. It is at the cursor, and lesser work runs: yes. The memory waits for that work, and a keystroke never does.
    5. It came later: for a bounded while, so that two busy models do not swap at every request.
    """
    wish = model.wish
    if wish is None:  # 1
        return True
    if entry.request.klass > wish.by:  # 2
        return False
    if entry.arrived_s <= wish.since_s:  # 3
        return True
    if entry.request.klass is Class.INTERACTIVE and any(
        other.request.klass > Class.INTERACTIVE for other in crew
    ):  # 4
        return True
    return now < wish.since_s + limits.drain_for(wish.by)  # 5


def in_order(model: ModelState, crew: Sequence[Entry], entry: Entry) -> bool:
    """Whether a request may start where nobody makes way for anybody: a sequence is free, and nobody wants to be alone."""
    return _may_share(crew, entry) and len(crew) < sequences(model)


def frees(
    model: ModelState, crew: Sequence[Entry], entry: Entry, *, now: float
) -> list[Entry] | None:
    """Who of the crew (those who hold a sequence) makes way for this request; None where it has to wait.

    1. Nobody shares steps with one that is alone, nor does that one with anybody; for a keystroke it makes way.
    2. So many have been asked to leave and have not yet that no more are asked.
    3. What was promised something, but is not at the cursor, leaves one sequence to those who are: a completion
       then finds it free, or taken by work that was promised nothing.
    4. A sequence is free.
    5. One lesser request makes way: the least urgent, of those the latest.
    """
    running = [other for other in crew if other.stage is Stage.RUNNING]
    if crew and entry.alone:  # 1
        return None
    if lone := [other for other in running if other.alone]:
        return lone if _yields(lone[0], entry, now) else None
    cap = sequences(model)
    if len(crew) >= 2 * cap:  # 2
        return None
    if entry.request.klass in _PROMISED and promised(running) >= promised_max(model):  # 3
        return None
    if len(running) < cap:  # 4
        return []
    lesser = [other for other in running if _yields(other, entry, now)]
    return [max(lesser, key=lambda other: other.order)] if lesser else None  # 5


def _may_share(crew: Sequence[Entry], entry: Entry) -> bool:
    return not crew or not (entry.alone or any(other.alone for other in crew))


def _yields(running: Entry, newcomer: Entry, now: float) -> bool:
    """Whether one makes way for another.

    To what is at the cursor everything else does, to what was promised something all that was not, to background
    work only guesses. Not while its turn lasts, which it got because it had waited too long.
    """
    klass, by = running.request.klass, newcomer.request.klass
    if now < running.turn_until_s or klass <= by:
        return False
    return by is Class.INTERACTIVE or klass >= Class.BACKGROUND


def sequences(model: ModelState) -> int:
    """How many requests may run at once."""
    return static_cap(model.view, model.sequences)


def promised(crew: Sequence[Entry]) -> int:
    """How many of them were promised something and are not at the cursor."""
    return sum(entry.request.klass in _PROMISED for entry in crew)


def promised_max(model: ModelState) -> int:
    """How many such may run at once: one less than all, on a model that completes at the cursor."""
    cap = sequences(model)
    return cap - 1 if cap > 1 and model.view.kinds & _AT_THE_CURSOR else cap


def overdue(
    queue: Sequence[Entry], crew: Sequence[Entry], *, limits: Limits, now: float
) -> Entry | None:
    """Return a background request, or one that must be alone, that has waited for its turn too long, if no other has such a turn now.

    This is the bound on its progress: it takes the next sequence that anybody leaves, before all but those at the
    cursor, and makes way for nobody for `turn_s`.
    """
    if any(now < entry.turn_until_s for entry in crew):
        return None
    background = (e for e in queue if e.alone or e.request.klass is Class.BACKGROUND)
    return next((e for e in background if has_outwaited(e, limits=limits, now=now)), None)


def has_outwaited(entry: Entry, *, limits: Limits, now: float) -> bool:
    """Whether it has waited so long that only keystrokes go before it."""
    return entry.queued_s <= now - limits.patience_s


def in_the_way(model: ModelState, crew: Sequence[Entry], *, now: float) -> list[Entry]:
    """Who of the crew must make way for what waits for the model's memory: background work, for anything above it.

    Not while its turn lasts: a model that was loaded for it would else be unloaded at once, again and again.
    """
    wish = model.wish
    if wish is None or wish.by >= Class.BACKGROUND:
        return []
    return [
        entry
        for entry in crew
        if entry.stage is Stage.RUNNING
        and entry.request.klass >= Class.BACKGROUND
        and now >= entry.turn_until_s
    ]


def wants_rest(crew: Sequence[Entry]) -> bool:
    """Whether these requests ask other models' workers to rest: one at the cursor runs."""
    return any(entry.request.klass is Class.INTERACTIVE and not entry.ended for entry in crew)


def may_rest(crew: Sequence[Entry]) -> bool:
    """Whether any of these can rest while another model serves a keystroke."""
    return any(entry.request.klass > Class.FOREGROUND for entry in crew)
