"""Hearth's own admission: SABER's test for what was promised something, and the rest takes what is left.

A class is tested against its own running requests. What is more urgent goes first in every step, so that it is load but
needs no test; what is less urgent hardly slows it (policies/step.py). What a person looks at is held for others' sake
alone: its first token comes no sooner for it.
While somebody is held nothing of a lesser class that was promised
something takes the sequence it waits for; what was promised nothing may, since it makes way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from policies.candidate import Candidate, Verdict
from policies.request import Class
from policies.saber import Saber
from policies.speed import decode_per_s, prefill_s
from policies.step_model import StepModel

PATIENCE_S = {Class.FOREGROUND: 3.0, Class.DEFERRED: 15.0}
"""How long one whose promise is lost is held for the sake of others: a person waits for it too."""
OUTWAITED_S = 60.0
"""Who has waited so long goes before chats, one in so long: a flood of them would outwait it for ever."""
SPARE = 1.0
"""What is held for requests that may come is little: those at the cursor are let in anyway."""


class CostPace:
    """The pace of a model as its steps have shown it. A test asks for the same few speeds again and again."""

    def __init__(self, costs: StepModel) -> None:
        self._costs = costs
        self._asked_at = 0
        self._decode_per_s: dict[int, float] = {}
        """By sequences, since the last step."""

    def decode_per_s(self, sequences: int) -> float:
        """Tokens per second of each of so many sequences."""
        if self._asked_at != self._costs.steps:
            self._asked_at = self._costs.steps
            self._decode_per_s.clear()
        if sequences not in self._decode_per_s:
            self._decode_per_s[sequences] = decode_per_s(self._costs, sequences)
        return self._decode_per_s[sequences]

    def prefill_s(self, tokens: int) -> float:
        """Seconds that a prompt of so many tokens takes from everyone."""
        return prefill_s(self._costs, tokens)


class PromiseKeeper:
    """One object a model. `waiting` may be of any class below the interactive one, which nobody holds."""

    def __init__(self, costs: StepModel) -> None:
        self._costs = costs
        pace = CostPace(costs)
        self._sabers = {
            klass: Saber(pace, spare=SPARE, patience_s=patience_s)
            for klass, patience_s in PATIENCE_S.items()
        }
        self._passed_s = -math.inf
        """When somebody last went before chats."""

    def next(
        self, waiting: Sequence[Candidate], running: Sequence[Candidate], *, now: float
    ) -> Verdict:
        """The most urgent class first; what was promised nothing where nobody of those may start.

        Before a step was measured there is no reason to hold anybody.
        """
        if late := self._outwaited(waiting, now):
            self._passed_s = now
            return Verdict(start=late.id)
        if not self._costs.known:
            return Verdict(start=waiting[0].id)
        held = Verdict()
        for klass, saber in self._sabers.items():
            mine = [_for_others_sake(one) for one in waiting if one.klass is klass]
            if not mine:
                continue
            beside = [
                one if one.klass is klass else _untested(one)
                for one in running
                if one.klass <= klass
            ]
            held = saber.next(mine, beside, now=now)
            if held.start is not None:
                return held
            break
        others = (one for one in waiting if one.klass not in self._sabers)
        first = next(others, None)
        return held if first is None else Verdict(start=first.id)

    def _outwaited(self, waiting: Sequence[Candidate], now: float) -> Candidate | None:
        """One that was promised something later than a chat, and that chats have kept waiting for too long."""
        if now < self._passed_s + OUTWAITED_S or waiting[0].klass is not Class.FOREGROUND:
            return None
        late = (one for one in waiting if now >= one.arrived_s + OUTWAITED_S)
        return next((one for one in late if one.klass is Class.DEFERRED), None)


def _for_others_sake(one: Candidate) -> Candidate:
    """One that waits, without its own promise where that is no reason to wait."""
    return _untested(one) if one.klass is Class.FOREGROUND else one


def _untested(one: Candidate) -> Candidate:
    """As a load without a promise."""
    return one._replace(first_due_s=None, whole_due_s=None)
