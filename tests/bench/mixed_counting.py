"""What a mix of background streams and completions came to: from the times of events to figures. It computes only.

What counts in a window of time is the same for every server:

1. A token of an answer counts when its event arrives. Some tokens are half a character and make no event, so that an
   event counts as many tokens as one does on average in the answers of its kind that came whole.
2. A token of a prompt counts when it was evaluated, once: evenly over the time that the server says this took
   (`timings.prompt_ms`), which ends with the first token of the answer. Without a first token nothing counts. How long
   a prompt is the server says at the end of an answer (`tokens_evaluated`). Of an answer that was cut both are the
   means of those of its kind that came whole. So is the time of one that made way and came back: its `timings` tell
   of the last start only (`prompt_n`, of which the share is shown).
3. A completion that had no token when the measurement was cut is as late as it had waited by then, or later.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

from tests.bench.figures import percentile

INSTANT_S = 1e-6
"""As long as a prompt takes of which nobody knows: all of it counts with its first token."""


@dataclass(slots=True)
class Exchange:
    """One request and what came back, noted as it comes: who is cut short keeps what came. Times are in seconds."""

    tokens_asked: int
    sent_s: float = 0.0
    events_s: list[float] = field(default_factory=list)
    """When each event with text in it came."""
    ended_s: float | None = None
    """When the answer was whole; None where it never was."""
    prompt_tokens: int = 0
    """What the last event said, as the three below."""
    evaluated_tokens: int = 0
    prompt_s: float = 0.0
    output_tokens: int = 0
    error: str = ""

    @property
    def evaluated_at_once(self) -> bool:
        """Whether the last event tells how its whole prompt was evaluated; a few tokens may have been in the cache."""
        return 2 * self.evaluated_tokens > self.prompt_tokens

    @property
    def first_s(self) -> float | None:
        """From sending it to its first token."""
        return self.events_s[0] - self.sent_s if self.events_s else None

    @property
    def whole_s(self) -> float | None:
        """From sending it to its end."""
        return None if self.ended_s is None else self.ended_s - self.sent_s

    @property
    def gaps_ms(self) -> list[float]:
        """Between each two events."""
        return [1e3 * (b - a) for a, b in zip(self.events_s, self.events_s[1:], strict=False)]


@dataclass(frozen=True, slots=True)
class Window:
    """The requests of one measurement; it counts from `begin_s` to `end_s`, and all was cut at `cut_s`."""

    begin_s: float
    end_s: float
    cut_s: float
    background: Sequence[Exchange]
    completions: Sequence[Exchange]

    @property
    def seconds(self) -> float:
        return self.end_s - self.begin_s


@dataclass(frozen=True, slots=True)
class Usual:
    """What is known of a kind of requests from the answers that came whole."""

    event_tokens: float = 1.0
    """Tokens of an event."""
    prompt_tokens: float = 0.0
    prompt_s: float = INSTANT_S
    """How long a prompt was evaluated."""

    def prompt_rate(self, exchanges: Iterable[Exchange], window: Window) -> float:
        """Tokens of prompts evaluated per second of the window."""
        return (
            sum(self._prompt_tokens_in(exchange, window) for exchange in exchanges) / window.seconds
        )

    def output_rate(self, exchanges: Iterable[Exchange], window: Window) -> float:
        """Tokens of answers per second of the window."""
        events = sum(_events_in(exchange, window) for exchange in exchanges)
        return self.event_tokens * events / window.seconds

    def _prompt_tokens_in(self, exchange: Exchange, window: Window) -> float:
        if not exchange.events_s:
            return 0.0
        first_s = exchange.events_s[0]
        took_s = exchange.prompt_s if exchange.evaluated_at_once else self.prompt_s
        inside_s = min(first_s, window.end_s) - max(first_s - took_s, window.begin_s)
        tokens = exchange.prompt_tokens or self.prompt_tokens
        return tokens * max(0.0, inside_s) / took_s


def usual(exchanges: Iterable[Exchange]) -> Usual:
    """Learn it; without a whole answer an event is a token and a prompt nothing."""
    whole = [exchange for exchange in exchanges if exchange.ended_s is not None]
    if not whole:
        return Usual()
    took_s = [exchange.prompt_s for exchange in whole if exchange.evaluated_at_once]
    return Usual(
        sum(exchange.output_tokens for exchange in whole)
        / sum(len(exchange.events_s) for exchange in whole),
        statistics.fmean(exchange.prompt_tokens for exchange in whole),
        statistics.fmean(took_s) if took_s else INSTANT_S,
    )


@dataclass(frozen=True, slots=True)
class Figures:
    """What one server did in one measurement, or in several. Rates are tokens per second."""

    seconds: float
    first_ms: tuple[float, ...]
    """Time to the first token of each completion."""
    whole_ms: tuple[float, ...]
    """Time to the end, of those that came whole."""
    served: int
    """Completions that were whole within the window."""
    unanswered: int
    """Completions without a token when all was cut."""
    prompt_rate: float
    output_rate: float
    background_rate: float
    """Both kinds of tokens, of the background alone."""
    evaluated_share: float
    """Of the background's prompts, how much the servers' last starts evaluated (`timings.prompt_n`)."""
    errors: tuple[str, ...]

    @property
    def useful_rate(self) -> float:
        return self.prompt_rate + self.output_rate

    def first_percentile_ms(self, share: float) -> float:
        """Of the time to the first token; infinite where nothing was answered."""
        return percentile(self.first_ms, share) if self.first_ms else math.inf

    def whole_percentile_ms(self, share: float) -> float:
        """Of the time to the end."""
        return percentile(self.whole_ms, share) if self.whole_ms else math.inf


def count(window: Window) -> Figures:
    """The figures of one measurement."""
    kinds = (window.background, window.completions)
    prompt_rates = [usual(kind).prompt_rate(kind, window) for kind in kinds]
    output_rates = [usual(kind).output_rate(kind, window) for kind in kinds]
    asked = [exchange for exchange in window.completions if not exchange.error]
    whole_s = [exchange.whole_s for exchange in asked if exchange.whole_s is not None]
    ends_s = [exchange.ended_s for exchange in asked if exchange.ended_s is not None]
    return Figures(
        seconds=window.seconds,
        first_ms=tuple(1e3 * _lateness_s(exchange, window.cut_s) for exchange in asked),
        whole_ms=tuple(1e3 * one_s for one_s in whole_s),
        served=sum(end_s <= window.end_s for end_s in ends_s),
        unanswered=sum(exchange.first_s is None for exchange in asked),
        prompt_rate=sum(prompt_rates),
        output_rate=sum(output_rates),
        background_rate=prompt_rates[0] + output_rates[0],
        evaluated_share=_evaluated_share(window.background),
        errors=tuple(exchange.error for exchange in chain(*kinds) if exchange.error),
    )


def pool(parts: Sequence[Figures]) -> Figures:
    """Several measurements of the same thing as one: times together, rates on average."""
    return Figures(
        seconds=sum(part.seconds for part in parts),
        first_ms=tuple(chain.from_iterable(part.first_ms for part in parts)),
        whole_ms=tuple(chain.from_iterable(part.whole_ms for part in parts)),
        served=sum(part.served for part in parts),
        unanswered=sum(part.unanswered for part in parts),
        prompt_rate=statistics.fmean(part.prompt_rate for part in parts),
        output_rate=statistics.fmean(part.output_rate for part in parts),
        background_rate=statistics.fmean(part.background_rate for part in parts),
        evaluated_share=statistics.fmean(part.evaluated_share for part in parts),
        errors=tuple(chain.from_iterable(part.errors for part in parts)),
    )


def background_due(ours: Figures, theirs: Figures, idle: Figures) -> float:
    """Tokens per second of background that we may be held to: theirs, less what our further completions cost.

    Each completion that we served and they did not takes as long as one of theirs takes on an idle machine (`idle`),
    and in that time they would have made no background.
    """
    further = max(0, ours.served - theirs.served)
    spent_s = further * statistics.median(idle.whole_ms) / 1e3
    return theirs.background_rate * max(0.0, 1 - spent_s / theirs.seconds)


def _events_in(exchange: Exchange, window: Window) -> int:
    times = exchange.events_s
    return bisect_left(times, window.end_s) - bisect_left(times, window.begin_s)


def _lateness_s(exchange: Exchange, cut_s: float) -> float:
    return cut_s - exchange.sent_s if exchange.first_s is None else exchange.first_s


def _evaluated_share(exchanges: Iterable[Exchange]) -> float:
    whole = [exchange for exchange in exchanges if exchange.prompt_tokens]
    asked = sum(exchange.prompt_tokens for exchange in whole)
    return sum(exchange.evaluated_tokens for exchange in whole) / asked if asked else 1.0
