"""Carries out who starts, who makes way and who rests: it asks `cato` and the model's admission, and changes the book."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TypeAlias

from policies.baselines import gap_s, slack_s, urgency
from policies.book import Book, Entry, Stage
from policies.candidate import Admission, Candidate
from policies.cato import (
    frees,
    has_outwaited,
    in_order,
    is_welcome,
    may_rest,
    overdue,
    sequences,
    wants_rest,
)
from policies.lengths import Lengths
from policies.limits import Limits
from policies.messages import Action, Outcome, Pause, Prepared, Reason, Start, Stepped, Unpause
from policies.regimes import Regime
from policies.request import Class
from policies.roster import ModelState, Roster, Wish
from policies.view import Phase

WINDOW = 8
"""How many of a class that wait for a model are looked at: the first in order."""
BYTES_A_TOKEN = 3.0
"""Of code, before a worker has laid the prompt out."""

_Case: TypeAlias = tuple[int, Phase, Wish | None]
"""What can let somebody start on a model: who waits and runs, whether it is there, and whether its memory is wanted."""


class Dispatch:
    """Who starts on the models of a roster, under a regime."""

    def __init__(self, book: Book, roster: Roster, limits: Limits, regime: Regime) -> None:
        self._book = book
        self._roster = roster
        self._limits = limits
        self._regime = regime
        self._lengths = Lengths()
        self._admissions: dict[tuple[str, int], Admission] = {}
        """By model, and the sequences it had: another load may offer more."""
        self._held: set[str] = set()
        """Models of which somebody who could start does not, for admission's reasons."""
        self._wakes: dict[str, float] = {}
        """When a model's admission wants to be asked again."""
        self._left: dict[str, _Case] = {}
        """How each model was left: while it is so nobody can start."""

    def next_wakeup(self) -> float | None:
        """When somebody may start though no event comes."""
        return min(self._wakes.values(), default=None)

    def holds(self, model: str) -> bool:
        """Whether admission holds somebody who may start when those who run have moved on."""
        return model in self._held

    def measured(self, event: Stepped | Prepared) -> None:
        """Note how far requests are, and what steps cost."""
        if isinstance(event, Prepared):
            if entry := self._book.find(event.request_id):
                entry.prompt_tokens = event.prompt_tokens - event.cached_tokens
            return
        if event.model in self._held:  # those who run have moved on: it may be let in now
            self._left.pop(event.model, None)
        self._roster[event.model].stepped(event)
        for request_id, tokens in event.emitted:
            if entry := self._book.find(request_id):
                entry.produced += tokens
                entry.prompt_tokens = 0

    def answered(self, entry: Entry) -> None:
        """An engine is through with a request: so long are answers of its kind."""
        self._lengths.observe(entry.request.kind, entry.produced)

    def fill(self, now: float) -> list[Action]:
        """Start whoever may start, and park who makes way for them."""
        actions: list[Action] = []
        for model in self._roster:
            if self._is_as_it_was(model, now):
                continue
            self._wakes.pop(model.name, None)
            self._held.discard(model.name)
            if model.phase is Phase.READY and self._book.head(model.name):
                actions += self._fill(model, now)
            self._left[model.name] = self._case(model)
        return actions

    def make_way(self, entry: Entry) -> list[Action]:
        """Park a running request; but a guess that would come too late is worth nothing."""
        if entry.request.klass is Class.SPECULATIVE:
            return self._book.end(entry, Outcome.CANCELLED, Reason.YIELDED)
        return self._book.park(entry)

    def let_rest(self) -> list[Action]:
        """Lesser work rests while another model on this machine serves a keystroke, and goes on when that is over."""
        actions: list[Action] = []
        crews = {model.name: self._book.crew(model.name) for model in self._roster}
        serving = {name for name, crew in crews.items() if self._rests and wants_rest(crew)}
        for model in self._roster:
            rests = bool(serving - {model.name}) and may_rest(crews[model.name])
            if rests and not model.resting:
                actions.append(Pause(model.name, urgency(Class.FOREGROUND), self._limits.rest_s))
            elif model.resting and not rests:
                actions.append(Unpause(model.name))
            model.resting = rests
        return actions

    @property
    def _rests(self) -> bool:
        return self._regime.preempts and self._limits.rest_s > 0

    def _is_as_it_was(self, model: ModelState, now: float) -> bool:
        """Whether nothing has happened to a model since it was last looked at, nor has its time come."""
        due_s = self._wakes.get(model.name)
        same = self._left.get(model.name) == self._case(model)
        return same and (due_s is None or now < due_s)

    def _case(self, model: ModelState) -> _Case:
        return (self._book.changes(model.name), model.phase, model.wish)

    # --- one model --------------------------------------------------------------------------------------

    def _fill(self, model: ModelState, now: float) -> list[Action]:
        actions: list[Action] = []
        shown = self._shown(model, now)
        while entry := self._next(model, shown, now):
            for other in self._leaving(model, entry, now) or ():
                actions += self.make_way(other)
            actions.append(self._start(model, entry, now))
            shown = self._shown(model, now)
        turns = [entry.turn_until_s for entry in self._book.crew(model.name)]
        if shown and (due_s := max(turns, default=now)) > now:  # then somebody may take its place
            self._wakes[model.name] = min(due_s, self._wakes.get(model.name, due_s))
        return actions

    def _shown(self, model: ModelState, now: float) -> list[Entry]:
        """Those who may be taken though somebody may wait for the model's memory: the first `WINDOW` of each class.

        A flood of one class hides no other.
        """
        shown: list[Entry] = []
        crew = self._book.crew(model.name)
        for queue in self._book.queues(model.name):
            welcome = (e for e in queue if is_welcome(model, crew, e, limits=self._limits, now=now))
            shown += islice(welcome, WINDOW)
        return sorted(shown, key=lambda entry: entry.order)

    def _next(self, model: ModelState, waiting: Sequence[Entry], now: float) -> Entry | None:
        """Who starts next.

        1. Who is at the cursor, without a test.
        2. Who has waited too long, if a sequence is free.
        3. Of those who may, whom admission chooses.
        """
        able = self._able(model, waiting, now)
        if not able or not self._regime.preempts:
            return self._admitted(model, able, now)
        if able[0].request.klass is Class.INTERACTIVE:
            return able[0]  # 1
        crew = self._book.crew(model.name)
        late = overdue(able, crew, limits=self._limits, now=now)
        if late and not self._leaving(model, late, now):  # 2
            late.turn_until_s = now + self._limits.turn_s
            return late
        return self._admitted(model, able, now)  # 3

    def _able(self, model: ModelState, waiting: Sequence[Entry], now: float) -> list[Entry]:
        """Who would find a place; those of one class all would, or none, but for who must be alone.

        Who must and cannot yet lets nobody pass who is behind: else there would always be somebody. When it has waited too
        long only keystrokes pass at all.
        """
        found: dict[tuple[Class, bool], bool] = {}
        able = []
        for entry in waiting:
            alike = (entry.request.klass, entry.alone)
            if alike not in found:
                found[alike] = self._leaving(model, entry, now) is not None
            if found[alike]:
                able.append(entry)
            elif entry.alone:
                if self._regime.preempts and has_outwaited(entry, limits=self._limits, now=now):
                    able = [one for one in able if one.request.klass is Class.INTERACTIVE]
                break
        return able

    def _leaving(self, model: ModelState, entry: Entry, now: float) -> list[Entry] | None:
        """Who makes way for it; None where it has to wait."""
        crew = self._book.crew(model.name)
        if self._regime.preempts:
            return frees(model, crew, entry, now=now)
        return [] if in_order(model, crew, entry) else None

    def _admitted(self, model: ModelState, able: Sequence[Entry], now: float) -> Entry | None:
        if not able:
            return None
        cap = sequences(model)
        admission = self._admissions.get((model.name, cap))
        if admission is None:
            admission = self._regime.admission(cap, model.costs)
            self._admissions[model.name, cap] = admission
        crew = self._book.crew(model.name)
        verdict = admission.next(
            [self._candidate(entry) for entry in able],
            [self._candidate(entry) for entry in crew if entry.stage is Stage.RUNNING],
            now=now,
        )
        if verdict.wake_s is not None:
            self._wakes[model.name] = verdict.wake_s
        if verdict.start is None:
            self._held.add(model.name)
        return next((entry for entry in able if entry.request.id == verdict.start), None)

    def _candidate(self, entry: Entry) -> Candidate:
        request, promise = entry.request, entry.request.promise
        prompt = entry.prompt_tokens
        if prompt is None:
            prompt = int(request.prompt_bytes / BYTES_A_TOKEN)
        return Candidate(
            id=request.id,
            klass=request.klass,
            arrived_s=entry.arrived_s,
            first_due_s=_due(entry, promise.first_token_s),
            whole_due_s=_due(entry, promise.whole_s),
            prompt_tokens=prompt,
            tokens=self._lengths.expected(
                request.kind, tokens_max=request.tokens_max, produced=entry.produced
            ),
            tokens_max=request.tokens_max,
            produced=entry.produced,
        )

    def _start(self, model: ModelState, entry: Entry, now: float) -> Start:
        self._book.start(entry)
        model.used_s = now
        klass = entry.request.klass if self._regime.by_class else Class.FOREGROUND
        return Start(
            entry.request.id,
            model.name,
            urgency=urgency(klass),
            slack_s=slack_s(entry.request, now - entry.arrived_s),
            gap_s=gap_s(entry.request),
            alone=entry.alone,
        )


def _due(entry: Entry, within_s: float | None) -> float | None:
    return None if within_s is None else entry.arrived_s + within_s
