"""The scheduler's invariants, as one question. Tests and simulation ask it after every event."""

from __future__ import annotations

from policies.book import Book, Stage
from policies.cato import promised, promised_max, sequences
from policies.roster import ModelState, Roster
from policies.view import Phase


def check(book: Book, roster: Roster, *, preempts: bool, next_wakeup: float | None) -> None:
    """Assert what must hold between any two events."""
    for model in roster:
        _check_crew(book, model, preempts=preempts)
        _check_queue(book, model, may_hold=not preempts and next_wakeup is not None)
    _check_progress(book, roster, next_wakeup)


def _check_crew(book: Book, model: ModelState, *, preempts: bool) -> None:
    crew = book.crew(model.name)
    running = [entry for entry in crew if entry.stage is Stage.RUNNING]
    assert not crew or model.phase is Phase.READY, f"{model.name}: a crew on a {model.phase} model"
    assert len(running) <= sequences(model), f"{model.name}: more running than sequences"
    assert len(crew) <= 2 * sequences(model), f"{model.name}: too many on their way out"
    if preempts:
        assert promised(running) <= promised_max(model), f"{model.name}: the reserve is taken"
    assert len(running) <= 1 or not any(entry.alone for entry in running), (
        f"{model.name}: not alone"
    )
    assert all(entry.stage is not Stage.QUEUED for entry in crew)
    assert all(entry.stage is Stage.STOPPING for entry in crew if entry.ended)


def _check_queue(book: Book, model: ModelState, *, may_hold: bool) -> None:
    """`may_hold`: whether admission may keep an idle model waiting until the next wake-up, as the published SABER does."""
    queue = book.queue(model.name)
    assert all(entry.stage is Stage.QUEUED and not entry.ended for entry in queue)
    assert [entry.order for entry in queue] == sorted(entry.order for entry in queue)
    assert not queue or model.phase is not Phase.FAILED, f"{model.name}: waiting for a failed model"
    idle = model.phase is Phase.READY and not book.is_busy(model.name)
    assert not queue or not idle or model.wish or may_hold, (
        f"{model.name}: idle while somebody waits"
    )


def _check_progress(book: Book, roster: Roster, next_wakeup: float | None) -> None:
    """Whoever waits is waited for: some event is on its way, or a wake-up is named."""
    waiting = any(book.head(model.name) for model in roster)
    moving = any(
        model.phase in (Phase.LOADING, Phase.DRAINING) or book.is_busy(model.name)
        for model in roster
    )
    assert moving or not waiting or next_wakeup is not None, "somebody waits for nothing"
