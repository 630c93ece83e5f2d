"""Runs of chains: what each of their calls is promised, so that the chain's own promise can be kept.

A call gets the part of the time left that it needs of the path left:

    left   = the run's due time - now - the pauses still to come between its calls
    share  = left * need(call) / sum of need(c) * times(c) over the calls still to come, this one included

Each share is made of what is left, so time that a call did not use flows to all later ones, and time that it took too
much of is taken from them. A need is the ninth decile of measured times, from start to end. Waiting is not counted:
to wait is what the time to spare is for, and a call that was once let wait would be let wait ever longer.

Where the promise is on the first token that a person sees, the last call's need is the time to that token, and all
that is left is promised for it.

When even the means of the path do not fit into what is left, nothing that this call could be given keeps the chain's
promise, while it would take time from chains that can still be kept. It goes on with the promise of its class, as a
call that belongs to no chain.

Inspired by CATO (arXiv 2503.19876), which orders calls by slack over the remaining path of their task and publishes
no more than that: the split by ninth deciles, the pauses and the rule for what is lost are ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from policies.chain import Chain, Learnt
from policies.link import Link
from policies.messages import Outcome
from policies.request import Promise


@dataclass(slots=True, eq=False)
class _Run:
    """One task under way."""

    name: tuple[str, str]
    learnt: Learnt
    due_s: float
    made: list[int]
    """How often each call was made, those inside included."""
    inside: int = 0
    """Calls of it that wait or run."""
    idle_since_s: float | None = None
    """Since when none is; None before its first."""


@dataclass(slots=True, eq=False)
class _Inside:
    """A call that waits or runs."""

    run: _Run
    call: int
    started_s: float | None = None
    first_s: float | None = None


class Runs:
    """Every run under way. The scheduler tells it what becomes of requests; those of no chain are passed over.

    Between two calls at most `idle_max` runs are remembered, and none for longer than `idle_s_max`. What is beyond is
    taken to be over, the longest idle first; a call that comes yet begins a new run. Runs with a call inside are
    bounded by the queue.
    """

    def __init__(self, chains: Iterable[Chain], *, idle_max: int, idle_s_max: float) -> None:
        self._learnt = {chain.name: Learnt(chain) for chain in chains}
        self._idle_max = idle_max
        self._idle_s_max = idle_s_max
        self._busy: dict[tuple[str, str], _Run] = {}
        self._idle: dict[tuple[str, str], _Run] = {}
        self._inside: dict[int, _Inside] = {}

    def arrived(self, request_id: int, link: Link | None, own: Promise, *, now: float) -> Promise:
        """What a request is promised; `own` is the promise of its class, and stands where it is of no chain."""
        if link is None:
            return own
        self._forget(now)
        run = self._run_of(link, now)
        if run.idle_since_s is not None and not run.inside:
            paused = run.learnt.paused
            paused[link.call] = paused[link.call].after(now - run.idle_since_s)
        run.made[link.call] += 1
        run.inside += 1
        self._inside[request_id] = _Inside(run, link.call)
        return _promised(run, link.call, own, now)

    def started(self, request_id: int, *, now: float) -> None:
        """A request was given to its engine; only the first time counts."""
        inside = self._inside.get(request_id)
        if inside and inside.started_s is None:
            inside.started_s = now

    def spoke(self, request_id: int, *, now: float) -> None:
        """A request was given a token; only the first counts."""
        inside = self._inside.get(request_id)
        if inside and inside.first_s is None:
            inside.first_s = now

    def ended(self, request_id: int, outcome: Outcome, *, now: float) -> None:
        """A request is over. One that was not done was not made, and says nothing of how long it takes."""
        inside = self._inside.pop(request_id, None)
        if inside is None:
            return
        run = inside.run
        if outcome is Outcome.DONE:
            _learn(inside, now)
        else:
            run.made[inside.call] -= 1
        run.inside -= 1
        if not run.inside:
            run.idle_since_s = now
            self._idle[run.name] = self._busy.pop(run.name)
            self._forget(now)

    def _run_of(self, link: Link, now: float) -> _Run:
        """The run that a call belongs to: a first call after a last one begins another under the same name."""
        name = (link.chain, link.run)
        run = self._busy.get(name) or self._idle.pop(name, None)
        if run and not run.inside and link.call == 0 and run.made[-1]:
            run.learnt.learn_run(run.made)
            run = None
        if run is None:
            learnt = self._learnt[link.chain]
            run = _Run(name, learnt, now + learnt.chain.within_s, [0] * len(learnt.chain.calls))
        self._busy[name] = run
        return run

    def _forget(self, now: float) -> None:
        """Take the runs to be over that nobody goes on with."""
        for run in tuple(self._idle.values()):
            assert run.idle_since_s is not None
            kept = len(self._idle) <= self._idle_max
            if kept and now - run.idle_since_s <= self._idle_s_max:
                return
            del self._idle[run.name]
            run.learnt.learn_run(run.made)


def _promised(run: _Run, call: int, own: Promise, now: float) -> Promise:
    """What this call is promised, of what is left now.

    1. Even the means do not fit: the promise of its class.
    2. A person waits for its first token: all that is left is for that.
    3. Its share, for the whole of it; nobody reads along, so pauses do not matter.
    """
    learnt = run.learnt
    ahead = learnt.ahead(call, run.made)
    left_s = run.due_s - now - learnt.pauses_s(ahead, call)
    least_s, needs_s = learnt.least_s(), learnt.needs_s()
    if left_s <= _along(ahead, least_s):  # 1
        return own
    if learnt.shows_first(call):  # 2
        return replace(own, first_token_s=left_s, whole_s=None)
    return Promise(whole_s=left_s * needs_s[call] / _along(ahead, needs_s))  # 3


def _along(ahead: list[float], each_s: list[float]) -> float:
    """Seconds along the path, of calls that take so long each."""
    return sum(times * call_s for times, call_s in zip(ahead, each_s, strict=True))


def _learn(inside: _Inside, now: float) -> None:
    """A call is done: it took from its start to what was promised of it."""
    learnt = inside.run.learnt
    until_s = inside.first_s if learnt.shows_first(inside.call) else now
    if inside.started_s is not None and until_s is not None:
        took = learnt.took[inside.call].after(until_s - inside.started_s)
        learnt.took[inside.call] = took
