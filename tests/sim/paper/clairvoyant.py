"""How many promises somebody keeps who knows the whole run before: a lower estimate of the optimum, beside `bound`'s upper one.

A plan says who starts when; who is not in it starts when everybody else is done. Whether a plan keeps the promises of all who are
in it is found by playing it to its end on the engine of `tests.sim.paper.serving`. So the number is reached, not estimated:
a policy that was told the plan would keep so many.

1. Those of least work are put in first (random factors make each beginning another), each as soon as it can be without
   breaking anybody's promise; who finds no place stays out. This is Moore and Hodgson's rule, count many by leaving out the
   longest, where a plan's length is not a sum.
2. Then, again and again, a few neighbours are taken out and all who stand out of their time are tried anew, in a new
   order. What keeps no fewer than before is kept: those of equal number lead out of dead ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from math import inf
from random import Random

from policies.candidate import Candidate, Verdict
from tests.sim.paper.arrivals import Arrival
from tests.sim.paper.published import REQUESTS
from tests.sim.paper.serving import decode_per_s

BEGINNINGS = 3
TRIES = 400
"""Of step 2, for each beginning."""
NEIGHBOURS_MAX = 4
DELAYS = (0.0, 0.2, 0.4, 0.6)
"""Where a start is tried, as shares of the time for which it can wait."""
NOISE = 0.6

Plan = dict[int, float]
"""When each of those who are in it starts."""

_SPEEDS = [decode_per_s(n) for n in range(REQUESTS + 1)]


def kept_at_least(requests: Sequence[Arrival], *, prefill_s: float, seed: int) -> int:
    """Promises of one run that a clairvoyant keeps."""
    return len(best_plan(requests, prefill_s=prefill_s, seed=seed))


def best_plan(
    requests: Sequence[Arrival], *, prefill_s: float, seed: int, tries: int = TRIES
) -> Plan:
    """The plan with the most in it of those that some beginnings led to."""
    searches = (_Search(requests, prefill_s, Random(f"{seed} {n}")) for n in range(BEGINNINGS))
    return max((search.best(tries) for search in searches), key=len)


class Planned:
    """The policy that carries out a plan."""

    def __init__(self, plan: Plan, requests: Sequence[Arrival]) -> None:
        after_s = max(requests[number].due_s for number in plan)
        self._starts = {one.id: plan.get(one.id, after_s) for one in requests}

    def next(
        self, waiting: Sequence[Candidate], running: Sequence[Candidate], *, now: float
    ) -> Verdict:
        """Whose time has come; those out of the plan when all promises are kept."""
        start_s, number = min((self._starts[one.id], one.id) for one in waiting)
        return Verdict(start=number) if start_s <= now else Verdict(wake_s=start_s)


class _Search:
    """One beginning, and what comes of it."""

    def __init__(self, requests: Sequence[Arrival], prefill_s: float, random: Random) -> None:
        self._requests = requests
        self._prefill_s = prefill_s
        self._random = random

    def best(self, tries: int) -> Plan:
        """The plan that one beginning leads to."""
        plan = self._with({}, self._requests)
        for _ in range(tries):
            if len(plan) == len(self._requests):
                break
            other = self._changed(plan)
            if len(other) >= len(plan):
                plan = other
        return plan

    def _changed(self, plan: Plan) -> Plan:
        """Without a few who start after each other, and then with whoever fits."""
        order = sorted(plan, key=lambda number: plan[number])
        first = self._random.randrange(len(order))
        gone = order[first : first + self._random.randint(1, NEIGHBOURS_MAX)]
        since_s = min(self._requests[number].at_s for number in gone)
        until_s = max(self._requests[number].due_s for number in gone)
        rest = {number: start_s for number, start_s in plan.items() if number not in gone}
        out = [
            one
            for one in self._requests
            if one.id not in rest and one.at_s < until_s and one.due_s > since_s
        ]
        return self._with(rest, out)

    def _with(self, plan: Plan, out: Iterable[Arrival]) -> Plan:
        """The plan with each of `out` that fits, those of least work first."""
        plan = dict(plan)
        for one in sorted(out, key=self._work):
            for share in DELAYS:
                tried = {**plan, one.id: one.at_s + share * self._slack_s(one)}
                if keeps_all(self._requests, tried, self._prefill_s):
                    plan = tried
                    break
        return plan

    def _work(self, one: Arrival) -> float:
        return one.task.tokens * self._random.lognormvariate(0.0, NOISE)

    def _slack_s(self, one: Arrival) -> float:
        """How long it can wait for an engine of its own."""
        return one.task.within_s - self._prefill_s - one.task.tokens / _SPEEDS[1]


def keeps_all(requests: Sequence[Arrival], plan: Plan, prefill_s: float) -> bool:
    """Whether everybody in the plan ends in time; the engine's arithmetic, and nothing else of it."""
    running: list[tuple[float, float]] = []
    clock = free_s = 0.0
    for start_s, number in [*sorted((start_s, n) for n, start_s in plan.items()), (inf, -1)]:
        while running:
            speed = _SPEEDS[len(running)]
            end_s = free_s + (running[0][0] - clock) / speed
            if end_s > start_s:
                clock += max(0.0, start_s - free_s) * speed
                break
            clock, due_s = heappop(running)
            free_s = end_s
            if end_s > due_s:
                return False
        if number >= 0:
            request = requests[number]
            heappush(running, (clock + request.task.tokens, request.due_s))
            free_s = max(start_s, free_s) + prefill_s
    return True
