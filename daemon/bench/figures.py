"""From requests as their senders saw them to figures: latencies and promises by class, and tokens a second."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from daemon.life import Life, kept
from policies.messages import Outcome
from policies.request import Class


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Of the requests of one class. A request is judged when its promise was kept or broken, not when it was open."""

    requests: int
    failed: int
    first_p50_ms: float | None
    first_p95_ms: float | None
    whole_p50_ms: float | None
    whole_p95_ms: float | None
    gap_max_ms: float | None
    judged: int
    kept: int
    kept_share: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """One policy beside so many streams of background work. Tokens count with their prompts once they were answered."""

    policy: str
    streams: int
    seconds: float
    tokens_per_s: float
    classes: dict[str, ClassFigures]


def figures_of(policy: str, streams: int, turns: Sequence[tuple[float, Sequence[Life]]]) -> Figures:
    """What came of some turns: how long each took, and its requests."""
    seconds = sum(took_s for took_s, _ in turns)
    lives = [life for _, asked in turns for life in asked]
    by_class = {
        klass.label: [one for one in lives if one.request and one.request.klass is klass]
        for klass in (Class.INTERACTIVE, Class.FOREGROUND, Class.BACKGROUND)
    }
    return Figures(
        policy=policy,
        streams=streams,
        seconds=round(seconds, 2),
        tokens_per_s=round(_useful_tokens(lives) / seconds, 1) if seconds else 0.0,
        classes={label: _of_class(asked) for label, asked in by_class.items() if asked},
    )


def _of_class(lives: Sequence[Life]) -> ClassFigures:
    firsts_s = sorted(_known(one.since_arrival(one.first_s) for one in lives))
    wholes_s = sorted(
        _known(one.since_arrival(one.ended_s) for one in lives if one.outcome is Outcome.DONE)
    )
    verdicts = [kept(one, _seen_until(one)) for one in lives]
    n_kept, judged = verdicts.count(True), len(verdicts) - verdicts.count(None)
    return ClassFigures(
        requests=len(lives),
        failed=sum(one.outcome is Outcome.FAILED for one in lives),
        first_p50_ms=_percentile_ms(firsts_s, 0.5),
        first_p95_ms=_percentile_ms(firsts_s, 0.95),
        whole_p50_ms=_percentile_ms(wholes_s, 0.5),
        whole_p95_ms=_percentile_ms(wholes_s, 0.95),
        gap_max_ms=_percentile_ms(sorted(_known(one.gap_max_s for one in lives)), 1.0),
        judged=judged,
        kept=n_kept,
        kept_share=round(n_kept / judged, 4) if judged else None,
    )


def _seen_until(life: Life) -> float:
    """The last that is known of a request that was cut off: nothing is held against it after that."""
    return life.ended_s or life.last_s or life.arrived_s or 0.0


def _useful_tokens(lives: Sequence[Life]) -> float:
    """Prompt and answer of every request that got a token. A prompt whose end was cut off is counted by its length."""
    counted = [one for one in lives if one.prompt_tokens is not None and one.request]
    n_bytes = sum(one.request.prompt_bytes for one in counted if one.request)
    n_tokens = sum(one.prompt_tokens or 0 for one in counted)
    a_byte = n_tokens / n_bytes if n_bytes else 0.0
    total = 0.0
    for life in lives:
        if life.output_tokens and life.request:
            known = life.prompt_tokens
            total += life.request.prompt_bytes * a_byte if known is None else known
            total += life.output_tokens
    return total


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _percentile_ms(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that this share of them does not exceed."""
    if not ordered:
        return None
    return round(ordered[math.ceil(share * len(ordered)) - 1] * 1e3, 1)
