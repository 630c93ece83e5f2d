"""The paper's serving set-up in virtual time: one engine with continuous batching, and a policy in front of it.

Everybody who runs decodes at the same speed v(L), which depends on how many run (L, everybody counted). So one
clock of tokens serves for all: a request that starts when it shows x ends when it shows x + its length, and a run
of a hundred requests takes a few hundred events. A prompt halts everybody for `prefill_s`, as a chunk of a prompt does in
a worker.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from policies.candidate import Admission, Candidate
from policies.request import Class
from tests.sim.paper.arrivals import Arrival
from tests.sim.paper.published import SPEEDS


def decode_per_s(running: float) -> float:
    """Tokens per second of each of so many requests, as the authors measured it.

    Seconds a token are interpolated between what they measured, and go on beyond it with the last slope.
    """
    return 1.0 / token_s(running)


def token_s(running: float) -> float:
    """Seconds that each of so many requests waits for its next token."""
    known = sorted(SPEEDS)
    above = next((n for n in known if n >= running), known[-1])
    below = known[max(0, known.index(above) - 1)]
    if running <= known[0]:
        return 1.0 / SPEEDS[known[0]]
    low, high = 1.0 / SPEEDS[below], 1.0 / SPEEDS[above]
    return low + (high - low) * (running - below) / (above - below)


@dataclass(slots=True)
class Engine:
    """Processor sharing: a clock of tokens that everybody who runs shares."""

    speeds: Sequence[float]
    prefill_s: float
    clock: float = 0.0
    now: float = 0.0
    halted_until_s: float = 0.0
    running: list[tuple[float, int]] = field(default_factory=list)
    """(what the clock shows when it ends, id), next to end first."""

    def start(self, request: Arrival) -> None:
        """Take a request: its prompt is evaluated while everybody waits."""
        insort(self.running, (self.clock + request.task.tokens, request.id))
        self.halted_until_s = max(self.now, self.halted_until_s) + self.prefill_s

    def next_end_s(self) -> float:
        """When the next one ends, if nobody else comes."""
        if not self.running:
            return inf
        left = self.running[0][0] - self.clock
        return max(self.now, self.halted_until_s) + max(0.0, left) / self.speeds[len(self.running)]

    def advance(self, now: float) -> list[int]:
        """Let time pass; ids of those that ended."""
        free_s = max(0.0, now - max(self.now, self.halted_until_s))
        self.clock += free_s * self.speeds[len(self.running)]
        self.now = now
        ended = []
        while self.running and self.running[0][0] <= self.clock + 1e-6:
            ended.append(self.running.pop(0)[1])
        return ended


class Crew(Sequence[Candidate]):
    """Those who run, as a policy sees them: made only when it looks, since a plain cap merely counts."""

    def __init__(self, engine: Engine, requests: Sequence[Arrival]) -> None:
        self._engine = engine
        self._requests = requests

    def __len__(self) -> int:
        return len(self._engine.running)

    def __getitem__(self, index: int) -> Candidate:
        end, number = self._engine.running[index]
        request = self._requests[number]
        left = max(0.0, end - self._engine.clock)
        return as_candidate(request, left=left)


def as_candidate(request: Arrival, *, left: float) -> Candidate:
    """A request with so many tokens to go. The set-up knows no classes, and no promise but that of the whole answer."""
    tokens = request.task.tokens
    return Candidate(
        id=request.id,
        klass=Class.FOREGROUND,
        arrived_s=request.at_s,
        first_due_s=None,
        whole_due_s=request.due_s,
        prompt_tokens=PROMPT_TOKENS if left >= tokens else 0,
        tokens=left,
        tokens_max=tokens,
        produced=int(tokens - left),
    )


PROMPT_TOKENS = 1
"""Every prompt is as long as every other: the authors name no lengths, so `prefill_s` is that of one of them."""


@dataclass(frozen=True, slots=True)
class Served:
    """How one request fared."""

    request: Arrival
    started_s: float
    ended_s: float

    @property
    def kept(self) -> bool:
        """Whether its promise was."""
        return self.ended_s <= self.request.due_s + 1e-6

    @property
    def ratio(self) -> float:
        """Completion time over what was promised: above 1, it was late."""
        return (self.ended_s - self.request.at_s) / self.request.task.within_s


def serve(requests: Sequence[Arrival], admission: Admission, *, prefill_s: float) -> list[Served]:
    """One run, until everybody has been served."""
    return list(_Run(requests, admission, prefill_s).ends())


class _Run:
    """A run under way."""

    def __init__(self, requests: Sequence[Arrival], admission: Admission, prefill_s: float) -> None:
        self._requests = requests
        self._admission = admission
        self._engine = Engine(_speeds(len(requests)), prefill_s)
        self._crew = Crew(self._engine, requests)
        self._waiting: dict[int, Candidate] = {}
        self._started_s: dict[int, float] = {}

    def ends(self) -> Iterator[Served]:
        """Those served, in the order in which they end."""
        coming = 0
        wake_s = inf
        while coming < len(self._requests) or self._waiting or self._engine.running:
            arrival_s = self._requests[coming].at_s if coming < len(self._requests) else inf
            now = min(arrival_s, wake_s, self._engine.next_end_s())
            for number in self._engine.advance(now):
                yield Served(self._requests[number], self._started_s[number], now)
            if now == arrival_s:
                request = self._requests[coming]
                self._waiting[request.id] = as_candidate(request, left=request.task.tokens)
                coming += 1
            wake_s = self._admit(now)

    def _admit(self, now: float) -> float:
        """Start whom the policy names; when it wants to be asked again."""
        while self._waiting:
            verdict = self._admission.next(list(self._waiting.values()), self._crew, now=now)
            if verdict.start is None:
                return inf if verdict.wake_s is None else max(now, verdict.wake_s)
            self._waiting.pop(verdict.start)
            self._started_s[verdict.start] = now
            self._engine.start(self._requests[verdict.start])
        return inf


def _speeds(most: int) -> list[float]:
    """Tokens per second by how many run."""
    return [decode_per_s(n) for n in range(most + 1)]
