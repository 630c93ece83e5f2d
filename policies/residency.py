"""Which models come into memory and which leave it, for those who wait. A question: it changes nothing.

Memory goes to those who wait in their order, and nobody overtakes the first who cannot have it yet. An idle model
leaves at once, the least recently used first; a busy one gets a wish put on it, which bounds what it may still take.
Background and speculative work displaces a model only when that has been idle for a while, or wanted for a long one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from policies.baselines import Holder, lru_victims
from policies.book import Book, Entry
from policies.limits import Limits
from policies.regimes import Order
from policies.request import Class
from policies.roster import ModelState, Roster
from policies.view import Phase


@dataclass(slots=True)
class RoomPlan:
    """What to do about memory now."""

    roomless: list[ModelState] = field(default_factory=list)
    """Wanted, and can never fit: whoever waits is refused."""
    unload: list[ModelState] = field(default_factory=list)
    load: list[ModelState] = field(default_factory=list)
    wishes: dict[str, Class] = field(default_factory=dict)
    """Models whose memory is wanted, or that left for those who still wait, and by which class."""
    settles_at: float | None = None
    """When a model that is left in peace for now may be displaced."""

    def look_again(self, at_s: float) -> None:
        """Something may be displaced then."""
        self.settles_at = at_s if self.settles_at is None else min(self.settles_at, at_s)


def plan_room(book: Book, roster: Roster, *, limits: Limits, now: float) -> RoomPlan:
    """Plan for the absent models that are waited for, in the order of those who wait.

    1. The budget has shrunk below what is held: the excess is reclaimed as if a person waited for it.
    2. A model that cannot fit even when all that may leave has left: roomless.
    3. Somebody earlier still waits for memory: nothing is given away behind his back.
    4. Too little is free: reclaim what is missing.
    5. Enough is free now (not only promised): load.
    """
    ask = _Asking(book, roster, limits, now)
    if (excess := ask.missing(0)) > 0:  # 1
        ask.reclaim(excess, Class.INTERACTIVE)
    stuck = False
    asked = demands(book, roster)
    for model, klass in asked:
        need = model.view.need_bytes
        if not roster.can_ever_fit(model):  # 2
            ask.plan.roomless.append(model)
        elif not stuck:  # 3
            if (missing := ask.missing(need)) > 0:  # 4
                ask.reclaim(missing, klass)
            stuck = ask.held + need > roster.memory_bytes
            if not stuck:  # 5
                ask.plan.load.append(model)
                ask.held += need
    ask.remember(asked)
    return ask.plan


def demands(book: Book, roster: Roster) -> list[tuple[ModelState, Class]]:
    """The absent models that are waited for, each with the class of its first request, in their order.

    Who came when a model's memory was wanted already waits behind those for whom it left: else it would come back at
    once, and leave for them again and again.
    """
    heads = [
        (head, model)
        for model in roster
        if model.phase is Phase.ABSENT and (head := book.head(model.name))
    ]
    heads.sort(key=_rank)
    return [(model, head.request.klass) for head, model in heads]


def _rank(one: tuple[Entry, ModelState]) -> tuple[Class, bool, Order]:
    head, model = one
    klass, wish = head.request.klass, model.wish
    if wish is None or head.arrived_s <= wish.since_s:
        return klass, False, head.order
    return max(klass, wish.by), True, head.order


class _Asking:
    """One planning: the plan so far, and the memory it leaves."""

    def __init__(self, book: Book, roster: Roster, limits: Limits, now: float) -> None:
        self.plan = RoomPlan()
        self.held = roster.held_bytes()
        self._book = book
        self._roster = roster
        self._limits = limits
        self._now = now

    def missing(self, need_bytes: int) -> int:
        """What must still be asked back before this much more fits."""
        promised = sum(
            model.view.need_bytes
            for model in self._roster
            if model.phase is Phase.DRAINING or model in self.plan.unload
        )
        return self.held - promised + need_bytes - self._roster.memory_bytes

    def reclaim(self, shortfall: int, by: Class) -> None:
        """Ask for it from those who may leave; when all of them hold too little, from all of them."""
        models = {model.name: model for model in self._roster if self._may_leave(model)}
        holders = [self._holder(model, by) for model in models.values()]
        for holder in lru_victims(holders, shortfall_bytes=shortfall) or holders:
            self.plan.wishes.setdefault(holder.name, by)
            if holder.busy:
                self._await_turns(holder.name)
            else:
                self.plan.unload.append(models[holder.name])

    def remember(self, asked: Sequence[tuple[ModelState, Class]]) -> None:
        """A wish outlives its model's leaving until those are served for whom it left."""
        waiting = [(model, klass) for model, klass in asked if model not in self.plan.load]
        for model in self._roster:
            wish = model.wish
            gone = model.phase in (Phase.DRAINING, Phase.ABSENT) and model not in self.plan.load
            if wish and gone and any(o is not model and k <= wish.by for o, k in waiting):
                self.plan.wishes[model.name] = wish.by

    def _may_leave(self, model: ModelState) -> bool:
        ready = model.phase is Phase.READY and not model.view.pinned
        return ready and model not in self.plan.unload

    def _holder(self, model: ModelState, by: Class) -> Holder:
        busy = self._book.is_busy(model.name) or not self._has_settled(model, by)
        # Once asked it stays asked: what stops for a wish would else be used last, and the wish would jump to the next.
        used_s = min(model.used_s, model.wish.since_s) if model.wish else model.used_s
        return Holder(model.name, model.view.need_bytes, used_s, busy)

    def _has_settled(self, model: ModelState, by: Class) -> bool:
        """Whether an idle model has been idle, or wanted, for long enough."""
        wanted_s = model.wish.since_s if model.wish else self._now
        settled_s = min(
            model.used_s + self._limits.settle_for(by), wanted_s + self._limits.drain_for(by)
        )
        if settled_s <= self._now:
            return True
        self.plan.look_again(settled_s)
        return False

    def _await_turns(self, model: str) -> None:
        """Who has a turn makes way when that is over."""
        for entry in self._book.crew(model):
            if entry.turn_until_s > self._now:
                self.plan.look_again(entry.turn_until_s)
