"""When requests that share a model will have their first token and their last, if nobody else comes.

The worker's turns (policies/step.py) as flows: between two events (a prompt is done, an answer ends) the same cycle
of steps repeats, so each request moves at a constant rate.

1. The next prompt is the most urgent one, then the first given. It goes before decoding rows that are less urgent.
2. As urgent as they are, it has a chunk for each of their steps; less urgent, one for `TURN_STEPS` of them.
3. Only the most urgent of the decoding rows decode, as many at once as is best; the others once in `TURN_STEPS`.
4. A chunk is as short as the pauses ask that decoding rows were promised, or the quantum, for those more urgent than it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from policies.request import PROMISE_OF, Class
from policies.speed import CHUNK_TOKENS, Estimator, Load, best_width
from policies.step import CHUNK_TOKENS_MIN, TURN_STEPS

QUANTUM_S = 0.05
"""What a worker lets more urgent work wait for a lesser prompt's chunk."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is left to do for one request: prompt tokens that are not in the cache, and output tokens."""

    klass: Class
    prompt_tokens: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds from now; `first_s` is 0 for who has its first token already."""

    first_s: float
    whole_s: float


@dataclass(slots=True)
class _Flow:
    """One request on its way, and how much of it one cycle does."""

    klass: Class
    prompt: float
    tokens: float
    first_s: float = 0.0
    whole_s: float = 0.0
    rate: float = 0.0

    @property
    def left(self) -> float:
        return self.prompt or self.tokens


def outlook(
    estimator: Estimator, works: Sequence[Work], *, chunk_tokens: int = CHUNK_TOKENS
) -> list[Times]:
    """Return the times of each of them. At most two events a request, each a dozen questions to the estimator."""
    flows = [_Flow(work.klass, work.prompt_tokens, work.tokens) for work in works]
    now = 0.0
    while live := [flow for flow in flows if flow.left > 0]:
        cycle_s = _cycle(estimator, live, chunk_tokens)
        cycles = min(flow.left / flow.rate for flow in live if flow.rate)
        now += cycles * cycle_s
        for flow in live:
            _advance(flow, cycles, now)
    return [Times(flow.first_s, flow.whole_s) for flow in flows]


def _cycle(estimator: Estimator, live: Sequence[_Flow], chunk_tokens: int) -> float:
    """Give each its rate in the cycle that comes next; return the cycle's seconds."""
    for flow in live:
        flow.rate = 0.0
    rows = [flow for flow in live if not flow.prompt]
    urgent = min((row.klass for row in rows), default=None)
    prompts = (flow for flow in live if flow.prompt)
    reading = min(prompts, key=lambda flow: flow.klass, default=None)
    seconds, steps = 0.0, 1.0
    if reading:
        spare_s = _spare_s(estimator, reading.klass, rows)
        reading.rate = _fitting(estimator, spare_s, min(chunk_tokens, math.ceil(reading.prompt)))
        seconds = estimator.step_s(Load(prefill_tokens=int(reading.rate)))
        steps = _steps_a_chunk(reading.klass, urgent, spare_s)
    if urgent is not None and steps:
        top = [row for row in rows if row.klass is urgent]
        lesser = [row for row in rows if row.klass is not urgent]
        seconds += _decode(estimator, top, len(top), steps)
        if lesser:
            seconds += _decode(estimator, lesser, len(rows), steps / TURN_STEPS)
    return seconds


def _steps_a_chunk(reading: Class, urgent: Class | None, spare_s: float) -> float:
    """Decode steps between two chunks (rules 1, 2 and 4)."""
    if urgent is None or (reading < urgent and spare_s == math.inf):
        return 0.0
    return 1.0 if reading <= urgent else float(TURN_STEPS)


def _spare_s(estimator: Estimator, reading: Class, rows: Sequence[_Flow]) -> float:
    """How long a chunk may last (rule 4); infinity where nobody's pause binds it."""
    if not rows:
        return math.inf
    width, step_s = best_width(estimator, len(rows))
    spares = [math.inf]
    for klass in {row.klass for row in rows}:
        gap_s = PROMISE_OF[klass].gap_s
        if gap_s is not None and (klass <= reading or gap_s > step_s):
            spares.append(gap_s * width / len(rows) - step_s)
        elif gap_s is None and klass < reading:
            spares.append(QUANTUM_S)
    return min(spares)


def _fitting(estimator: Estimator, seconds: float, tokens_max: int) -> int:
    """The most tokens of a chunk that takes no longer, but not fewer than a worker takes at least."""
    least = min(CHUNK_TOKENS_MIN, tokens_max)
    if seconds == math.inf:
        return tokens_max
    sizes = range(least + 1, tokens_max + 1)
    return least + bisect_right(
        sizes, seconds, key=lambda tokens: estimator.step_s(Load(prefill_tokens=tokens))
    )


def _decode(estimator: Estimator, rows: Sequence[_Flow], company: int, steps: float) -> float:
    """Let these rows decode in steps whose width is the best for so many; return the seconds."""
    width, step_s = best_width(estimator, company)
    for row in rows:
        row.rate = steps * min(1.0, width / len(rows))
    return steps * step_s


def _advance(flow: _Flow, cycles: float, now: float) -> None:
    """Take so many cycles off what is left; the last chunk of a prompt gives the first token."""
    if not flow.rate:
        return
    left = max(0.0, flow.left - cycles * flow.rate)
    if left < 1e-9 * cycles * flow.rate:
        left = 0.0
    if flow.prompt:
        flow.prompt = left
        if not left:
            flow.tokens -= 1
            flow.first_s = flow.whole_s = now
    else:
        flow.tokens = left
        if not left:
            flow.whole_s = now
