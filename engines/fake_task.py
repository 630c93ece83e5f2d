"""A job inside the fake engine: what it has read, what it will write, and how far it is with both."""

from __future__ import annotations

from dataclasses import dataclass

from engines.engine import Emitted, Job, StopType, Timings
from engines.fake_text import answer, number, text_of, tokenise
from policies.messages import Halt
from policies.step import Row


@dataclass(slots=True, eq=False)
class Task:
    """Times are seconds of the engine's clock."""

    job: Job
    prompt: tuple[int, ...]
    """What must be in the cache before the next token: the prompt, and what a former worker sent."""
    pieces: tuple[str, ...]
    """What it will write; its end is known from the start."""
    stop: StopType
    submitted_s: float
    restored: tuple[int, ...] = ()
    """What was parked of it."""
    cached: int = 0
    held: int = 0
    """How much of prompt and answer is in the cache."""
    emitted: int = 0
    over: bool = False
    """Whether nothing more is to be drawn."""
    leaving: Halt | None = None
    """How it is to leave before it is done."""
    begun_s: float | None = None
    first_s: float | None = None
    moved_s: float = 0.0
    """When it last emitted, or was admitted."""

    @property
    def waiting_tokens(self) -> int:
        """Tokens of prompt and answer that are not evaluated."""
        return len(self.prompt) + self.emitted - self.held

    @property
    def kept(self) -> tuple[int, ...]:
        """The tokens that are in the cache."""
        written = map(number, self.pieces[: self.emitted])
        return (*self.prompt, *written)[: self.held]

    def begin(self, cached: int, now: float) -> None:
        """It was given a sequence that holds so much of its prompt."""
        self.cached = self.held = cached
        self.begun_s = self.moved_s = now

    def row(self, now: float) -> Row:
        """What the planner sees."""
        waiting = self.waiting_tokens
        return Row(
            id=self.job.request_id,
            waiting_tokens=waiting,
            decoding=self.first_s is not None and waiting == 1,
            urgency=self.job.urgency,
            slack_s=max(0.0, self.job.slack_s - (now - self.submitted_s)),
            gap_s=self.job.gap_s,
            waited_s=now - self.moved_s,
            alone=self.job.alone,
            cells=self.held,
        )

    def draw(self, now: float) -> Emitted | None:
        """Draw the next token; None where it ends the answer. An answer that ends by itself takes a draw to say so."""
        if self.emitted == len(self.pieces):
            self.over = True
            return None
        self.first_s = now if self.first_s is None else self.first_s
        self.moved_s = now
        piece = self.pieces[self.emitted]
        self.emitted += 1
        if self._is_overdue(now):
            self.over, self.stop = True, StopType("limit")
        elif self.emitted == len(self.pieces):
            self.over = self.stop.kind == "limit"
        return Emitted(self.job.request_id, (number(piece),), piece, 0.0)

    def timings(self, now: float) -> Timings:
        """What it cost until now."""
        begun = now if self.begun_s is None else self.begun_s
        first = now if self.first_s is None else self.first_s
        sent = len(self.job.sent)
        prompt_tokens = len(self.prompt) - sent
        return Timings(
            prompt_tokens=prompt_tokens,
            cached_tokens=min(self.cached, prompt_tokens),
            emitted_tokens=self.emitted + sent,
            queued_ms=(begun - self.submitted_s) * 1e3,
            prompt_ms=(first - begun) * 1e3,
            predict_ms=(now - first) * 1e3,
        )

    def _is_overdue(self, now: float) -> bool:
        limit_s = self.job.predict_s_max
        return limit_s is not None and self.first_s is not None and now - self.first_s >= limit_s


def begin(job: Job, script: str, restored: tuple[int, ...], now: float) -> Task:
    """Make a task of a job that was submitted; of the script, what was sent before is not written again."""
    pieces, stop = answer(job, script)
    sent = tuple(map(number, pieces[: len(job.sent)]))
    prompt = tokenise(text_of(job.prompt)) + sent
    return Task(job, prompt, pieces[len(job.sent) :], stop, now, restored)
