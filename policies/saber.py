"""Who may start, so that the most promises are kept: SABER's two-sided test, looking ahead.

Taken from the paper (arXiv 2506.19677): somebody starts only where his own promise and those of all who run are kept; who
cannot be served in time is answered later. Taken from ALGORITHMS 1.6: prompts are charged, promises of a first token count,
what the running ones need follows from what they have produced, nothing is polled, and a promise already lost guards nothing.
Ours:

1. **The test plays the schedule to its end** (`policies.forecast`) instead of comparing speeds of this moment: as others end,
   those who stay become faster, so more may run now.
2. **Lost promises.** A running request whose promise is lost anyway is still counted in the load, but holds nobody up.
3. **The loosest goes first**: of a class, the one for whom the least share of its time is work. Who has waited needs a fast
   engine, which means few beside him: under overload one tight request costs several fresh ones. Shares, not seconds, so
   that short and long work give up alike.
4. **Best effort.** Who was promised nothing, or cannot be served in time even alone, starts while nobody who can be waits, and only
   where a load `SPARE` times as large would still keep every promise: who comes meanwhile finds room. The shortest work of a class
   goes first: it is late by the least, and leaves soonest.
5. **Patience.** Whoever has waited `PATIENCE_S` gets a turn, whatever it breaks: one such turn at a time. So of those who wait for best
   effort the k-th oldest starts within `PATIENCE_S` and k - 1 runs of such requests, wherever the engine has a sequence.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import NamedTuple

from policies.candidate import Candidate, Verdict
from policies.forecast import Pace, Share, broken, share_of

SPARE = 1.5
"""Among the values that cost at most half a point of goodput the one that scatters completion times least (`tests.sim.paper.tune`)."""
PATIENCE_S = 60.0
EPSILON = 1e-9


class _Newcomer(NamedTuple):
    """One that waits, and what it takes."""

    one: Candidate
    share: Share
    prefill_s: float
    work_s: float
    """What it takes on an engine of its own."""
    slack_s: float
    """How long it could still wait for an engine of its own; `inf` where nothing was promised."""
    tightness: float
    """The share of its time that is work on an engine of its own; at 1 it cannot be served in time."""

    @property
    def timely(self) -> bool:
        """Whether it was promised something that can still be kept."""
        return self.share.promised and self.tightness < 1 - EPSILON


class Saber:
    """Our admission policy, one object a model."""

    def __init__(self, pace: Pace, *, spare: float = SPARE, patience_s: float = PATIENCE_S) -> None:
        self._pace = pace
        self._spare = spare
        self._patience_s = patience_s
        self._turn: int | None = None
        """The one whose turn it is by patience alone."""

    def next(
        self, waiting: Sequence[Candidate], running: Sequence[Candidate], *, now: float
    ) -> Verdict:
        """The next to start, or when somebody's case changes though nothing happens."""
        if self._turn is not None and all(one.id != self._turn for one in running):
            self._turn = None
        halt_s = sum(self._pace.prefill_s(one.prompt_tokens) for one in running)
        crew = self._guarded(sorted(share_of(one, now) for one in running), halt_s)
        newcomers = [self._newcomer(one, now) for one in waiting]
        timely = [each for each in newcomers if each.timely]
        others = [each for each in newcomers if not each.timely]
        others.sort(key=lambda each: (each.one.klass, each.work_s, each.one.id))
        timely.sort(key=lambda each: (each.one.klass, each.tightness, each.one.id))
        start = None
        if self._turn is None:
            start = self._turn = self._out_of_patience(others, now)
        if start is None:
            start = self._first_that_fits(timely, crew, halt_s)
        if start is None and not timely:
            start = self._first_with_room(others, crew, halt_s)
        return Verdict(start=start, wake_s=self._wake_s(timely, others, now))

    def _guarded(self, crew: list[Share], halt_s: float) -> list[Share]:
        """The crew, where those whose promise is lost anyway ask for nothing."""
        lost = {share.id for share in broken(crew, halt_s, self._pace)}
        return [
            share._replace(first_s=inf, whole_s=inf) if share.id in lost else share
            for share in crew
        ]

    def _newcomer(self, one: Candidate, now: float) -> _Newcomer:
        """What one that waits would take on an engine of its own, against what it was promised."""
        share = share_of(one, now)
        prefill_s = self._pace.prefill_s(one.prompt_tokens)
        token_s = 1.0 / self._pace.decode_per_s(1)
        first_work_s, work_s = prefill_s + token_s, prefill_s + share.tokens * token_s
        return _Newcomer(
            one,
            share,
            prefill_s,
            work_s,
            slack_s=min(share.first_s - first_work_s, share.whole_s - work_s),
            tightness=max(_part(first_work_s, share.first_s), _part(work_s, share.whole_s)),
        )

    def _first_that_fits(
        self, timely: Sequence[_Newcomer], crew: Sequence[Share], halt_s: float
    ) -> int | None:
        """The first beside whom every promise is kept, its own too.

        What breaks another's promise would break it with a longer prompt and answer too: such are passed over.
        """
        tokens, prefill_s = inf, inf
        for each in timely:
            if each.share.tokens >= tokens and each.prefill_s >= prefill_s:
                continue
            victims = broken(_joined(crew, each.share), halt_s + each.prefill_s, self._pace)
            if not victims:
                return each.one.id
            if any(share.id != each.one.id for share in victims):
                tokens, prefill_s = each.share.tokens, each.prefill_s
        return None

    def _first_with_room(
        self, others: Sequence[_Newcomer], crew: Sequence[Share], halt_s: float
    ) -> int | None:
        """The first of those who wait for best effort, where a much larger load would keep every promise."""
        if not others:
            return None
        first = others[0]
        joined = _joined(crew, first.share._replace(first_s=inf, whole_s=inf))
        slowed = _Slowed(self._pace, self._spare)
        return None if broken(joined, halt_s + first.prefill_s, slowed) else first.one.id

    def _out_of_patience(self, others: Sequence[_Newcomer], now: float) -> int | None:
        """The one that has waited longest for best effort, where that is too long."""
        oldest = min(others, key=lambda each: (each.one.arrived_s, each.one.id), default=None)
        if oldest is None or now < oldest.one.arrived_s + self._patience_s:
            return None
        return oldest.one.id

    def _wake_s(
        self, timely: Sequence[_Newcomer], others: Sequence[_Newcomer], now: float
    ) -> float | None:
        """When the first of those who wait can no longer be served in time, or is out of patience."""
        moments = [now + each.slack_s for each in timely]
        moments += [each.one.arrived_s + self._patience_s for each in others]
        return min((moment for moment in moments if moment > now), default=None)


@dataclass(frozen=True, slots=True)
class _Slowed:
    """The pace of a load some times as large."""

    pace: Pace
    times: float

    def decode_per_s(self, sequences: int) -> float:
        """As if each were so many."""
        return self.pace.decode_per_s(ceil(sequences * self.times))

    def prefill_s(self, tokens: int) -> float:
        """As it is."""
        return self.pace.prefill_s(tokens)


def _part(work_s: float, left_s: float) -> float:
    """The share of the time left that is work."""
    return work_s / left_s if left_s > 0 else inf


def _joined(crew: Sequence[Share], share: Share) -> list[Share]:
    """The crew with one more, still sorted."""
    joined = list(crew)
    insort(joined, share)
    return joined
