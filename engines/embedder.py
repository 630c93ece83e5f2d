"""The step loop of a model that makes vectors: texts wait, are evaluated, and end with their vector.

To the worker it is what the batcher is (`engines/stepper.py`); nothing is drawn, so nothing goes on from step to step
but how far a text was read.

Rule 1. Where the vector is that of the last token, and tokens see only those before them, a text is read in parts like
        any prompt. Its last token goes into a step of its own kind, beside those of others: to make vectors llama.cpp
        computes the logits of every token in the batch, which for one of many is cheap and for a whole text is not.
Rule 2. Any other text is evaluated in one piece: of parts llama.cpp makes another vector without a word. Texts share
        such a step only where no cache is between them, because a cache may cut them.
Rule 3. The most urgent text decides what a step does; others go along while they fit. A step is never broken off.
Rule 4. While a pause lasts less urgent texts rest, but for a step of theirs now and then (`policies/hush.py`).
Rule 5. A batch that is refused is tried again one text at a time; what fails alone ends `failed` (ENGINE.md 8).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engines.batcher import Told
from engines.engine import Stepped, Stopped, Timings
from engines.llama import DECODED, Context, Feed
from engines.run import Arrival
from policies.hush import Hush
from policies.messages import Halt


@dataclass(frozen=True, slots=True)
class Terms:
    """How an embedder works."""

    running_max: int
    """Texts that may be under way at once."""
    budget_tokens: int
    """The most tokens of one step, but for a text that must be evaluated in one piece and is longer."""
    whole: bool
    """Whether texts must be evaluated in one piece."""


@dataclass(slots=True)
class _Text:
    """A text that has a sequence."""

    arrival: Arrival
    sequence: int
    started_s: float
    read: int = 0
    """Tokens that were evaluated."""

    @property
    def left(self) -> int:
        return len(self.arrival.layout.tokens) - self.read

    @property
    def alone(self) -> bool:
        return self.arrival.job.alone

    @property
    def urgency(self) -> float:
        return self.arrival.job.urgency

    def feed(self, tokens: int) -> Feed:
        part = self.arrival.layout.tokens[self.read : self.read + tokens]
        return Feed(self.sequence, self.read, part, wants_logits=False)


@dataclass(frozen=True, slots=True)
class _Step:
    """Texts and how many tokens of each. `pools`: they are the ends, and vectors come of them."""

    shares: tuple[tuple[_Text, int], ...] = ()
    pools: bool = False


class Embedder:
    """Makes vectors in one context. One thread owns it; `hurry` and `cached_tokens` may be called from any."""

    def __init__(
        self, context: Context, terms: Terms, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._context = context
        self._terms = terms
        self._clock = clock
        self._idle = list(range(context.sequences))
        self._waiting: dict[int, Arrival] = {}
        self._texts: dict[int, _Text] = {}
        self._planned: _Step | None = None
        self._hush = Hush()

    @property
    def rest_s(self) -> float | None:
        """How long there will be nothing to step: 0 where there is something, None until a text comes or a pause ends."""
        inside = [text.arrival for text in self._texts.values()]
        if len(inside) < self._terms.running_max:
            inside += self._waiting.values()
        if not inside:
            return None
        now = self._clock()
        if any(self._hush.allows(arrival.job.urgency, now) for arrival in inside):
            return 0.0
        return max(0.0, self._hush.due_s - now)

    def cached_tokens(self, _tokens: Sequence[int]) -> int:
        """Return 0: nothing is kept of a text that has its vector."""
        return 0

    def hurry(self, _urgency: float) -> bool:
        """Return False: the step that runs is not broken off."""
        return False

    def pause(self, below: float, progress_s: float) -> None:
        """Let what is less urgent rest, but for a step of it in `progress_s`."""
        self._hush = self._hush.paused(below=below, progress_s=progress_s, now=self._clock())
        self._planned = None

    def unpause(self) -> None:
        """Let everything go on."""
        self._hush = self._hush.unpaused()
        self._planned = None

    def submit(self, arrival: Arrival) -> None:
        """Take a job whose text is laid out."""
        self._waiting[arrival.job.request_id] = arrival
        self._planned = None

    def stop(self, request_id: int) -> list[Told]:
        """Take a job back; its sequence is free when this returns."""
        return self._take_back(request_id, Halt.STOPPED)

    def park(self, request_id: int) -> list[Told]:
        """Take a job back. Nothing of it is kept: it will be read again."""
        return self._take_back(request_id, Halt.PARKED)

    def aboard(self) -> tuple[int, ...]:
        """Say who shares the next step."""
        return tuple(text.arrival.job.request_id for text, _ in self._next().shares)

    def step(self) -> list[Told]:
        """Take one step; return its frames: a `Stepped` where anything was evaluated, and what ended."""
        began = self._clock()
        step, self._planned = self._next(), None
        if not step.shares:
            return []
        before = sum(text.read for text, _ in step.shares)
        ended = self._evaluate(step)
        evaluated = sum(text.read for text, _ in step.shares) - before
        if not evaluated:
            return list(ended)
        now = self._clock()
        self._hush = self._hush.stepped(min(text.urgency for text, _ in step.shares), now)
        used = sum(text.read for text in self._texts.values())
        return [Stepped((), evaluated, now - began, used), *ended]

    # --- what a step does -----------------------------------------------------------------------------

    def _next(self) -> _Step:
        if self._planned is None:
            now = self._clock()
            self._seat(now)
            self._planned = self._plan(now)
        return self._planned

    def _seat(self, now: float) -> None:
        """Give sequences to those that wait and may step, the most urgent first."""
        allowed = (a for a in self._waiting.values() if self._hush.allows(a.job.urgency, now))
        waiting = sorted(allowed, key=_order)
        for arrival in waiting[: self._terms.running_max - len(self._texts)]:
            number = arrival.job.request_id
            del self._waiting[number]
            self._texts[number] = _Text(arrival, self._idle.pop(0), now)

    def _plan(self, now: float) -> _Step:
        """Rules 1 to 4."""
        allowed = (t for t in self._texts.values() if self._hush.allows(t.urgency, now))
        texts = sorted(allowed, key=lambda text: _order(text.arrival))
        if not texts:
            return _Step()
        whole, room = self._terms.whole, self._terms.budget_tokens
        pools = whole or texts[0].left == 1
        shares: list[tuple[_Text, int]] = []
        for text in texts:
            if pools:
                tokens = text.left if whole or text.left == 1 else 0
            else:
                tokens = min(text.left - 1, room)
            if tokens and (not shares or (tokens <= room and self._joins(text, shares[0][0]))):
                shares.append((text, tokens))
                room -= tokens
        return _Step(tuple(shares), pools)

    def _joins(self, text: _Text, first: _Text) -> bool:
        if self._terms.whole and self._context.keeps_cells:
            return False
        return not (text.alone or first.alone)

    def _evaluate(self, step: _Step) -> list[Stopped]:
        feeds = [text.feed(tokens) for text, tokens in step.shares]
        code = self._context.pool(feeds) if step.pools else self._context.decode(feeds)
        if code == DECODED:
            for text, tokens in step.shares:
                text.read += tokens
            return [self._finish(text) for text, _ in step.shares] if step.pools else []
        for text, _ in step.shares:  # graphs before the one that failed have read some
            self._context.remove(text.sequence, text.read)
        if len(step.shares) > 1:  # rule 5
            return [
                end for share in step.shares for end in self._evaluate(_Step((share,), step.pools))
            ]
        ((text, _),) = step.shares
        return [self._end(text, Halt.FAILED, detail=f"llama.cpp refused the batch (code {code})")]

    # --- ends -----------------------------------------------------------------------------------------

    def _finish(self, text: _Text) -> Stopped:
        vector = normalised(self._context.vector(text.sequence))
        if vector is None:
            return self._end(
                text, Halt.FAILED, detail="the model made no vector of it: not numbers, or all 0"
            )
        return self._end(text, Halt.DONE, vector=vector.astype("<f4").tobytes())

    def _take_back(self, request_id: int, halt: Halt) -> list[Told]:
        self._planned = None
        if text := self._texts.get(request_id):
            return [self._end(text, halt)]
        if waiting := self._waiting.pop(request_id, None):
            timings = Timings(queued_ms=(self._clock() - waiting.arrived_s) * 1e3)
            return [Stopped(request_id, halt, timings=timings)]
        return []

    def _end(self, text: _Text, halt: Halt, *, detail: str = "", vector: bytes = b"") -> Stopped:
        job = text.arrival.job
        del self._texts[job.request_id]
        self._context.remove(text.sequence, 0)
        self._idle.append(text.sequence)
        timings = Timings(
            prompt_tokens=len(text.arrival.layout.tokens),
            queued_ms=(text.started_s - text.arrival.arrived_s) * 1e3,
            prompt_ms=(self._clock() - text.started_s) * 1e3,
        )
        return Stopped(job.request_id, halt, timings=timings, detail=detail, vector=vector)


def normalised(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """Return the vector at length 1; None where it has no direction."""
    length = float(np.linalg.norm(vector.astype(np.float64)))
    return vector / np.float32(length) if 0.0 < length < np.inf else None


def _order(arrival: Arrival) -> tuple[float, int]:
    return -arrival.job.urgency, arrival.job.request_id
