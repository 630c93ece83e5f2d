"""Who leaves memory: those whose absence will cost least (after CACE, arXiv 2506.18796; ALGORITHMS.md 2.6).

The paper adds up terms of different units. Here they are factors of one quantity: the seconds of waiting that leaving
is expected to cause, each weighed by how much it hurts.

    loss = soon * (reload + kept) * sensitivity * brevity * busy

1. soon: recency and the demand ahead, from 0 to 1. A model in use is needed at once; one that somebody waits for, or
   that a chain under way will call, a little later for each place further back; any other when both its pauses and the
   order of use say so (their geometric mean). An open document that would use it halves what is left to 1.
2. reload + kept: seconds to load it again, and to compute again what its sequences hold.
3. sensitivity: of the classes it serves lately. A second matters to a keystroke and not to an index.
4. brevity: who gets a long answer anyway is hurt less by a late start.
5. busy: its requests must be parked, and come back; those as urgent as who waits can only be waited for.

The victims are the set with the smallest summed loss that frees enough. Pinned models never leave. One that has
answered nothing since it was loaded stays for `RESIDENCY_MIN_S`, except before a keystroke. Who is promised nothing
waits in proportion to the loss, so that requests for one model gather and pay for one load together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import TypeAlias

from policies.eviction import Choice, Demand, Line, Resident, ScoreSheet
from policies.request import Class

SENSITIVITY: Mapping[Class, float] = {
    Class.INTERACTIVE: 1.0,
    Class.FOREGROUND: 0.6,
    Class.DEFERRED: 0.3,
    Class.BACKGROUND: 0.05,
    Class.SPECULATIVE: 0.02,
}
"""How much a second of waiting hurts."""
UNKNOWN = Class.FOREGROUND
"""What a model is taken to serve that has served nothing."""
WINDOW = 16
"""Places in the queue or in a chain: each takes so little of how soon a model is needed that the last has half."""
OPEN = 0.5
"""What an open document that would use a model leaves of how far off its use is."""
SOON_MIN = 0.01
"""No model is certain never to be needed: of two that nothing speaks for the cheaper one leaves."""
TOKENS_HALF = 256.0
"""A late start hurts half as much where the answer has so many tokens."""
PARKED = 2.0
"""What is parked waits for all of the other model's stay, and for the way back."""
AWAITED = 4.0
"""Who needs the memory waits as well."""
RESIDENCY_MIN_S = 10.0
"""So long a model that has answered nothing yet stays."""
PATIENCE: Mapping[Class, float] = {Class.BACKGROUND: 20.0, Class.SPECULATIVE: 50.0}
"""Seconds that who is promised nothing waits for each second of loss."""
PATIENCE_MAX_S = 60.0

_Set: TypeAlias = tuple[float, int, tuple[str, ...]]
"""The summed loss of a set of victims, the bytes they free, their names."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The factors of a loss."""

    soon: float
    reload_s: float
    kept_s: float
    sensitivity: float
    brevity: float
    busy: float

    @property
    def loss(self) -> float:
        """Weighted seconds."""
        cost_s = self.reload_s + self.kept_s
        return self.soon * cost_s * self.sensitivity * self.brevity * self.busy


class Cace:
    """Our way of choosing. It has no state."""

    def choose(
        self, residents: Sequence[Resident], shortfall_bytes: int, demand: Demand, now: float
    ) -> Choice | None:
        """The set with the smallest summed loss, and the time from which on it pays."""
        terms = {one.name: terms_of(one, demand) for one in residents}
        reasons = {one.name: _kept_for(one, demand, now) for one in residents}
        free = [one for one in residents if not reasons[one.name]]
        sums = ((terms[one.name].loss, one.need_bytes, (one.name,)) for one in free)
        best = _cheapest(sums, shortfall_bytes)
        if best is None:
            return None
        loss, _, victims = best
        lines = tuple(
            Line(name, tuple(asdict(one).items()), one.loss, name in victims, reasons[name])
            for name, one in terms.items()
        )
        sheet = ScoreSheet("hearth", "loss", now, shortfall_bytes, lines)
        patience_s = min(PATIENCE_MAX_S, PATIENCE.get(demand.by, 0.0) * loss)
        return Choice(victims, sheet, demand.since_s + patience_s)


def terms_of(one: Resident, demand: Demand) -> Terms:
    """What its loss is made of."""
    if one.busy is None:
        soon, hurt, busy = how_soon(one.name, demand), sensitivity(one.classes), 1.0
    else:
        soon, hurt = 1.0, max(SENSITIVITY[one.busy], sensitivity(one.classes))
        busy = PARKED if one.busy > demand.by else AWAITED
    brevity = TOKENS_HALF / (TOKENS_HALF + one.tokens)
    return Terms(soon, one.reload_s, one.kept_s, hurt, brevity, busy)


def how_soon(name: str, demand: Demand) -> float:
    """How soon an idle model is needed, from 0 to 1."""
    habit, order = (max(SOON_MIN, told.get(name, 0.0)) for told in (demand.habit, demand.order))
    learnt = sqrt(habit * order)
    if name in demand.editors:
        learnt = 1 - OPEN * (1 - learnt)
    return max(learnt, _ahead(demand.queued, name), _ahead(demand.chains, name))


def _ahead(names: Sequence[str], name: str) -> float:
    if name not in names:
        return 0.0
    return max(0.5, 1 - 0.5 * names.index(name) / WINDOW)


def sensitivity(classes: Iterable[tuple[Class, float]]) -> float:
    """How much a second of waiting hurts such a mix of requests."""
    return sum(share * SENSITIVITY[klass] for klass, share in classes) or SENSITIVITY[UNKNOWN]


def _kept_for(one: Resident, demand: Demand, now: float) -> str:
    """Why it cannot leave; empty when it can."""
    if one.pinned:
        return "pinned"
    fresh = one.served == 0 and now - one.loaded_s < RESIDENCY_MIN_S
    return "just loaded" if fresh and demand.by is not Class.INTERACTIVE else ""


def _cheapest(singles: Iterable[_Set], shortfall_bytes: int) -> _Set | None:
    """Of all sets that free enough the one with the smallest loss, then the fewest, then the first by name.

    Only sets are kept that free more than any that costs no more: with n models 2 ** n at the very worst, a few in fact.
    """
    front: list[_Set] = [(0.0, 0, ())]
    for loss, need, name in sorted(singles, key=lambda single: single[2]):
        front += [
            (total + loss, freed + need, names + name)
            for total, freed, names in front
            if freed < shortfall_bytes
        ]
        front.sort(key=lambda one: (one[0], len(one[2]), one[2]))
        most = -1
        kept: list[_Set] = []
        for one in front:
            if one[1] > most:
                kept.append(one)
                most = one[1]
        front = kept
    return next((one for one in front if one[1] >= shortfall_bytes), None)
