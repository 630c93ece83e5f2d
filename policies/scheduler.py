"""The machine that decides: which request starts where and when, which model is in memory, how each request ends.

Rules

1. `handle` is the only method that changes anything. It is a function of the pairs (now, event) it was given:
   no clock, no chance, no look at a process.
2. Events are facts, actions are wishes. A sequence is free at `Stopped`, not at `Stop`; memory is free at
   `Unloaded`, not at `Unload`.
3. Every request gets exactly one `End`. None follows for a request that has had one, whatever its engine still says.
4. Order is class, then whose promise is due first. A request that lost its sequence keeps its place.
5. A keystroke never waits behind lesser work: where no sequence is free the least urgent running request makes way,
   and other models' lesser work rests while one runs. Background work makes way for all that was promised something,
   and has a turn of its own when it has waited too long.
6. Whoever waits is waited for: each wait ends by an event that is on its way, or at `next_wakeup`.

Theory of operation

A request is queued, running, or stopping. It lives in the `Book`, which keeps one ordered queue and one crew (those
who hold a sequence) a model. A model is absent, loading, ready, draining or failed; the `Roster` keeps its phase and
adds up memory. Each event first changes one of these (`_arrived`, `_stopped`, `_died`, ...); then, whatever it was,
three things are put right, in this order: limits that have passed (`_expire`), free sequences (`Dispatch.fill`), and memory
(`_place_models`), because who starts decides which model is busy, and who is busy decides which model may leave.
A busy model whose memory is wanted gets a wish put on it, which bounds the work it still takes; when the wish is
lifted, what it held back starts in the same event.

                  Start                  Stopped(done, invalid, failed)
      queued  ------------->  running  ---------------------------------->  End
        ^ ^                    |   | Park, Stop           (done: may cross them)
        | +-------- died ------+   v
        +------ Stopped -------- stopping      withdrawn while running: Stop and End at once,
                                               the sequence is free only at Stopped

A death frees every sequence at once. Those inside the step it happened in are tried once more, alone; a second death
makes them poison. The others are queued again. A worker that dies again and again without a step between is barred for
a while, and what waits for it fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import assert_never

from policies import checks
from policies.book import Book, Entry, Stage
from policies.cato import in_the_way
from policies.chain import Chain
from policies.dispatch import Dispatch
from policies.intake import make_room, objection
from policies.limits import Limits
from policies.messages import (
    Action,
    Arrived,
    Cancelled,
    End,
    EngineDied,
    Event,
    Foreseen,
    Halt,
    Load,
    Loaded,
    LoadFailed,
    MemoryChanged,
    Outcome,
    OuterEvent,
    Prepared,
    Reason,
    Start,
    Stepped,
    Stopped,
    Tick,
    Unload,
    Unloaded,
)
from policies.regimes import Policy, Regime, find_regime
from policies.request import Request
from policies.residency import demands, plan_room
from policies.roster import ModelState, Roster, Wish
from policies.runs import Runs
from policies.supersede import superseded
from policies.view import ModelView, Phase, Picture, Standing


class Scheduler:
    """Events in, actions out. `models` are all that are configured, in order of preference, `chains` all that are."""

    def __init__(
        self,
        models: Sequence[ModelView],
        limits: Limits,
        regime: Regime | None = None,
        chains: Sequence[Chain] = (),
    ) -> None:
        regime = regime or find_regime(Policy.HEARTH)
        self._limits = limits
        self._preempts = regime.preempts
        self._order = regime.order
        self._book = Book([model.name for model in models])
        self._roster = Roster(models, limits.memory_bytes)
        self._dispatch = Dispatch(self._book, self._roster, limits, regime)
        self._runs = Runs(chains, idle_max=limits.chains_idle_max, idle_s_max=limits.chain_idle_s)
        self._settles_at: float | None = None

    def handle(self, event: Event, *, now: float) -> list[Action]:
        """Take one event into account; return the actions it calls for, in order."""
        match event:
            case (
                Stepped() | Prepared()
            ):  # a step lets nobody leave, and somebody start only who was held
                self._measured(event, now)
                if not (isinstance(event, Stepped) and self._dispatch.holds(event.model)):
                    return []
                actions = []
            case Arrived() | Cancelled() | Foreseen() | MemoryChanged() | Tick():
                actions = self._outer(event, now)
            case Stopped() | Loaded() | LoadFailed() | Unloaded() | EngineDied():
                actions = self._inner(event, now)
            case _:
                assert_never(event)
        actions += self._expire(now)
        actions += self._dispatch.fill(now)
        actions += self._place_models(now)
        actions += self._dispatch.let_rest()
        self._learn(actions, now)
        return actions

    def next_wakeup(self) -> float | None:
        """When it wants a `Tick`, in the time of `now`; None while only events can change anything."""
        times = (self._book.next_expiry(), self._settles_at, self._dispatch.next_wakeup())
        return min((time for time in times if time is not None), default=None)

    def check(self) -> None:
        """Assert the invariants; for tests and simulation, after every event."""
        checks.check(
            self._book,
            self._roster,
            preempts=self._preempts,
            next_wakeup=self.next_wakeup(),
        )

    def picture(self) -> Picture:
        """How things stand, for status pages."""
        return Picture(
            models=tuple(self._standing(model) for model in self._roster),
            waiting=self._book.count(Stage.QUEUED),
            running=self._book.count(Stage.RUNNING, Stage.STOPPING),
            memory_bytes=self._roster.memory_bytes,
        )

    def _outer(self, event: OuterEvent, now: float) -> list[Action]:
        match event:
            case Arrived(request):
                return self._arrived(request, now)
            case Cancelled(request_id, reason):
                outcome = Outcome.DONE if reason is Reason.ENOUGH else Outcome.CANCELLED
                return self._withdraw([request_id], outcome, reason)
            case Foreseen(model):
                return self._foreseen(model, now)
            case MemoryChanged(budget_bytes):
                self._roster.memory_bytes = budget_bytes
            case Tick():
                pass
            case _:
                assert_never(event)
        return []

    def _inner(
        self, event: Stopped | Loaded | LoadFailed | Unloaded | EngineDied, now: float
    ) -> list[Action]:
        match event:
            case Stopped():
                return self._stopped(event, now)
            case Loaded(model, sequences):
                self._roster[model].loaded(sequences, now)
            case LoadFailed(model):
                self._roster[model].phase = Phase.FAILED
                return self._book.end_all(
                    self._book.queue(model), Outcome.FAILED, Reason.LOAD_FAILED
                )
            case Unloaded(model):
                self._roster[model].gone()
            case EngineDied(model, inside):
                return self._died(model, inside, now)
            case _:
                assert_never(event)
        return []

    # --- requests ---------------------------------------------------------------------------------------

    def _arrived(self, request: Request, now: float) -> list[Action]:
        """Queue a new request.

        1. Nobody can serve it: it ends at once.
        2. It replaces older ones for the same place, running or not.
        3. The queue is full, and nobody can make room: it is refused.
        4. It waits its turn.
        """
        if end := objection(self._roster.find(request.model), now):  # 1
            return [End(request.id, *end)]
        beside = self._book.beside(request)
        older = superseded(request, beside, neighbour_lines=self._limits.neighbour_lines)
        actions = self._withdraw(older, Outcome.SUPERSEDED, Reason.NEWER)  # 2
        dropped = make_room(request.klass, self._book, self._limits)
        if dropped is None:  # 3
            return [*actions, End(request.id, Outcome.REFUSED, Reason.QUEUE_FULL)]
        actions += self._book.end_all(dropped, Outcome.REFUSED, Reason.QUEUE_FULL)
        promise = self._runs.arrived(request.id, request.link, request.promise, now=now)
        request = replace(request, promise=promise)
        self._book.add(Entry(request, now, self._order(request, now)))  # 4
        return actions

    def _stopped(self, event: Stopped, now: float) -> list[Action]:
        """A sequence is free.

        1. It is news of a former life (its worker died since), or of nobody's.
        2. It was already answered.
        3. The engine is through with it, even where that crossed a `Stop`.
        4. It made way as it was asked to: it waits again.
        5. The engine gave it back unasked: it waits again, so many times.
        """
        entry = self._book.find(event.request_id)
        if entry is None or entry.stage is Stage.QUEUED:  # 1
            return []
        model = self._roster[entry.request.model]
        asked = entry.stage is Stage.STOPPING
        model.used_s = now
        self._book.release(entry, now)
        if entry.ended:  # 2
            return []
        if event.halt in _END_OF:  # 3
            if event.halt is Halt.DONE:
                self._dispatch.answered(entry)
            outcome, reason = _END_OF[event.halt]
            return self._book.end(entry, outcome, Reason.TOO_LONG if event.too_long else reason)
        if asked and event.halt in (Halt.STOPPED, Halt.PARKED):  # 4
            return []
        return self._set_back(entry)  # 5

    def _set_back(self, entry: Entry) -> list[Action]:
        entry.setbacks += 1
        if entry.setbacks <= self._limits.setbacks_max:
            return []
        return self._book.end(entry, Outcome.FAILED, Reason.ENGINE)

    def _withdraw(self, ids: Iterable[int], outcome: Outcome, reason: Reason) -> list[Action]:
        """End those of them that are live; the rest have had their end."""
        entries = [self._book.find(request_id) for request_id in ids]
        return self._book.end_all((e for e in entries if e and not e.ended), outcome, reason)

    def _expire(self, now: float) -> list[Action]:
        return self._book.end_all(self._book.expired(now), Outcome.CANCELLED, Reason.EXPIRED)

    # --- what is learnt ---------------------------------------------------------------------------------

    def _measured(self, event: Stepped | Prepared, now: float) -> None:
        self._dispatch.measured(event)
        if isinstance(event, Stepped):
            for request_id, _ in event.emitted:
                self._runs.spoke(request_id, now=now)

    def _learn(self, actions: Iterable[Action], now: float) -> None:
        """What was decided, of which runs of chains learn."""
        for action in actions:
            match action:
                case Start(request_id):
                    self._runs.started(request_id, now=now)
                case End(request_id, outcome):
                    self._runs.ended(request_id, outcome, now=now)
                case _:
                    pass

    # --- models -----------------------------------------------------------------------------------------

    def _foreseen(self, name: str, now: float) -> list[Action]:
        """Load a model ahead of need: only if nobody waits for memory, and nobody has to leave."""
        model = self._roster.find(name)
        if model is None or objection(model, now) or demands(self._book, self._roster):
            return []
        absent = model.phase is Phase.ABSENT
        return self._load(model) if absent and self._roster.fits_now(model) else []

    def _died(self, name: str, inside: tuple[int, ...], now: float) -> list[Action]:
        """A worker is gone, and with it every sequence.

        1. It was asked to go anyway.
        2. A request is inside a second time: it is poison.
        3. Inside for the first time: once more, alone. The others: as before, so many times.
        4. It keeps dying without a step between: what waits for it fails, and it is left alone for a while.
        5. It is pinned, so it comes back though nobody waits for it.
        """
        model = self._roster[name]
        if model.phase is Phase.DRAINING:  # 1
            model.gone()
            return []
        actions: list[Action] = []
        for entry in self._book.crew(name):
            self._book.release(entry, now)
            if entry.ended:
                continue
            if entry.alone and entry.request.id in inside:  # 2
                actions += self._book.end(entry, Outcome.FAILED, Reason.POISON)
            else:  # 3
                entry.alone = entry.alone or entry.request.id in inside
                actions += self._set_back(entry)
        if model.died(now, window_s=self._limits.deaths_window_s) > self._limits.deaths_max:  # 4
            model.barred_until_s = now + self._limits.back_off_s
            actions += self._book.end_all(self._book.queue(name), Outcome.FAILED, Reason.ENGINE)
        elif model.view.pinned and self._roster.fits_now(model):  # 5
            actions += self._load(model)
        return actions

    # --- putting things right ---------------------------------------------------------------------------

    def _place_models(self, now: float) -> list[Action]:
        """Carry out the plan for memory; who was held back by a wish that is no more starts now."""
        plan = plan_room(self._book, self._roster, limits=self._limits, now=now)
        self._settles_at = plan.settles_at
        actions: list[Action] = []
        for model in plan.roomless:
            queue = self._book.queue(model.name)
            actions += self._book.end_all(queue, Outcome.REFUSED, Reason.NO_ROOM)
        eased = False
        for model in self._roster:
            before, by = model.wish, plan.wishes.get(model.name)
            model.wish = None if by is None else Wish(by, before.since_s if before else now)
            eased = eased or (before is not None and before != model.wish)
            crew = self._book.crew(model.name) if self._preempts else ()
            for entry in in_the_way(model, crew, now=now):
                eased = True
                actions += self._dispatch.make_way(entry)
        for model in plan.unload:
            model.phase = Phase.DRAINING
            actions.append(Unload(model.name))
        for model in plan.load:
            actions += self._load(model)
        return actions + self._dispatch.fill(now) if eased else actions

    def _load(self, model: ModelState) -> list[Action]:
        assert self._roster.fits_now(model), f"{model.name} was to be loaded beside too much"
        model.phase = Phase.LOADING
        return [Load(model.name)]

    def _standing(self, model: ModelState) -> Standing:
        running = len(self._book.crew(model.name))
        return Standing(model.name, model.phase, running, model.deaths, model.speed)


_END_OF: dict[Halt, tuple[Outcome, Reason]] = {
    Halt.DONE: (Outcome.DONE, Reason.COMPLETE),
    Halt.INVALID: (Outcome.REFUSED, Reason.INVALID),
    Halt.FAILED: (Outcome.FAILED, Reason.ENGINE),
}
