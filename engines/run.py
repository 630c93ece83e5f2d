"""One job that has a sequence: its tokens so far, and what the next logits make of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from engines.cache import Seat
from engines.constraint import Matcher, MatcherError
from engines.engine import Emitted, Job, StopType, Timings
from engines.prompt import Layout
from engines.sampling import Logits, Sampler, logprob, score
from engines.text import TextStream
from policies.step import Row


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job that is laid out and waits for a sequence."""

    job: Job
    layout: Layout
    arrived_s: float
    matcher: Matcher | None = None
    """What its answer must match; nothing was accepted yet."""

    @property
    def tokens(self) -> list[int]:
        """What must be in the cache before the next token: the prompt, and what a former worker sent."""
        return [*self.layout.tokens, *self.job.sent]


@dataclass(slots=True)
class Run:
    """An admitted job. Times are seconds of the worker's monotonic clock."""

    job: Job
    seat: Seat
    history: list[int]
    """Prompt and every token drawn since; the cache holds a beginning of it."""
    prompt_tokens: int
    arrived_s: float
    started_s: float
    sampler: Sampler
    text: TextStream
    piece: Callable[[int], bytes]
    end_tokens: frozenset[int]
    emitted: int
    first_s: float | None = None
    moved_s: float = 0.0
    """When it last emitted, or was admitted."""
    stop: StopType | None = field(default=None)

    @property
    def sequence(self) -> int:
        """Where it runs."""
        return self.seat.sequence

    def row(self, held: int, now: float) -> Row:
        """What the planner sees. `held`: how much of the history is in the cache."""
        waiting = len(self.history) - held
        return Row(
            id=self.job.request_id,
            waiting_tokens=waiting,
            decoding=self.first_s is not None and waiting == 1,
            urgency=self.job.urgency,
            slack_s=max(0.0, self.job.slack_s - (now - self.arrived_s)),
            gap_s=self.job.gap_s,
            waited_s=now - self.moved_s,
            alone=self.job.alone,
            cells=held,
        )

    def draw(self, logits: Logits, now: float) -> Emitted | None:
        """Draw the next token. None where it ends the answer; `stop` then says why, as it does after the last one."""
        token = self.sampler.draw(logits, self.history)
        self.first_s = now if self.first_s is None else self.first_s
        self.moved_s = now
        if token in self.end_tokens and (not self.job.sampling.ignore_eos or self.sampler.ended):
            self.stop = StopType("eos")
            return None
        self.sampler.accept(token)
        self.emitted += 1
        self.history.append(token)
        text = self.text.push(self.piece(token))
        tops = self.job.tops
        scores = () if tops is None else (score(logits, token, tops, self.piece),)
        summed = logprob(logits, token) if self.job.logprobs else 0.0
        self.stop = self.ended(now)
        return Emitted(self.job.request_id, (token,), text, summed, scores)

    def ended(self, now: float) -> StopType | None:
        """Why nothing more is to be drawn; None where it goes on."""
        if self.text.stopped_by is not None:
            return StopType("word", self.text.stopped_by)
        if self.emitted >= self.job.tokens_max or self._is_overdue(now):
            return StopType("limit")
        return None

    def timings(self, now: float) -> Timings:
        """What it cost until now."""
        first = now if self.first_s is None else self.first_s
        return Timings(
            prompt_tokens=self.prompt_tokens,
            cached_tokens=min(self.seat.cached, self.prompt_tokens),
            emitted_tokens=self.emitted,
            queued_ms=(self.started_s - self.arrived_s) * 1e3,
            prompt_ms=(first - self.started_s) * 1e3,
            predict_ms=(now - first) * 1e3,
            shifted_tokens=self.seat.shifted,
        )

    def _is_overdue(self, now: float) -> bool:
        limit = self.job.predict_s_max
        return limit is not None and self.first_s is not None and now - self.first_s > limit


def start(
    arrival: Arrival,
    seat: Seat,
    *,
    piece: Callable[[int], bytes],
    end_tokens: frozenset[int],
    now: float,
) -> Run:
    """Make a run of a job that was given a sequence. What was sent before is replayed: state follows (ENGINE.md 19)."""
    job, layout = arrival.job, arrival.layout
    sampler = Sampler(job.sampling, end_tokens, piece, arrival.matcher)
    stream = TextStream(job.stops, layout.healed)
    with contextlib.suppress(MatcherError):  # it will be raised again by the first draw
        for token in job.sent:
            stream.push(piece(token))
            sampler.accept(token)
    return Run(
        job=job,
        seat=seat,
        history=arrival.tokens,
        prompt_tokens=len(layout.tokens),
        arrived_s=arrival.arrived_s,
        started_s=now,
        sampler=sampler,
        text=stream,
        piece=piece,
        end_tokens=end_tokens,
        emitted=len(job.sent),
        moved_s=now,
    )
