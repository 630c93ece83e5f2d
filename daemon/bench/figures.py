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
    """Of the requests of one class. Judged are those whose promise was kept or broken.

    Neither is a promise that was still open when the window ended, or when a newer key took the request's place.
    """

    requests: int
    failed: int
    superseded: int
    cut_off: int
    """Not done when the window ended."""
    cut_off_late: int
    """Those of them that had waited longer than promised: judged as broken."""
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
    verdicts = [kept(one, math.inf) for one in lives]  # each has ended
    n_kept, judged = verdicts.count(True), len(verdicts) - verdicts.count(None)
    cut_off = [
        verdict
        for one, verdict in zip(lives, verdicts, strict=True)
        if one.outcome is Outcome.CANCELLED
    ]
    return ClassFigures(
        requests=len(lives),
        failed=sum(one.outcome is Outcome.FAILED for one in lives),
        superseded=sum(one.outcome is Outcome.SUPERSEDED for one in lives),
        cut_off=len(cut_off),
        cut_off_late=cut_off.count(False),
        first_p50_ms=_percentile_ms(firsts_s, 0.5),
        first_p95_ms=_percentile_ms(firsts_s, 0.95),
        whole_p50_ms=_percentile_ms(wholes_s, 0.5),
        whole_p95_ms=_percentile_ms(wholes_s, 0.95),
        gap_max_ms=_percentile_ms(sorted(_known(one.gap_max_s for one in lives)), 1.0),
        judged=judged,
        kept=n_kept,
        kept_share=round(n_kept / judged, 4) if judged else None,
    )


def _useful_tokens(lives: Sequence[Life]) -> int:
    """Prompt and answer of every request that got a token."""
    answered = [one for one in lives if one.output_tokens]
    return sum((one.prompt_tokens or 0) + one.output_tokens for one in answered)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _percentile_ms(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that this share of them does not exceed."""
    if not ordered:
        return None
    return round(ordered[math.ceil(share * len(ordered)) - 1] * 1e3, 1)
