"""The plain choices that everything cleverer is measured against: class order, static cap, least recently used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies.request import Class, Request
from policies.view import ModelView

SLACK_S_MAX = 60.0
"""The slack of a request that was promised nothing."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A model that holds memory and may be asked to give it back."""

    name: str
    need_bytes: int
    used_s: float
    busy: bool


def class_order(request: Request) -> tuple[Class, int]:
    """The key that sorts requests by class, then by arrival; a request that is queued again keeps its turn."""
    return (request.klass, request.id)


def static_cap(model: ModelView, engine_sequences: int) -> int:
    """How many requests may run at once: what the engine offers, or less where so configured."""
    return min(engine_sequences, model.sequences) if model.sequences else engine_sequences


def urgency(klass: Class) -> float:
    """The number an engine sees for a class: larger goes first."""
    return float(Class.SPECULATIVE - klass)


def slack_s(request: Request, waited_s: float) -> float:
    """The seconds a request can still spare before its promise is broken; 0 once it is."""
    limits = (request.promise.first_token_s, request.promise.whole_s)
    promised = min((limit for limit in limits if limit is not None), default=None)
    return SLACK_S_MAX if promised is None else max(0.0, promised - waited_s)


def gap_s(request: Request) -> float:
    """The longest pause between two of its tokens that a request was promised."""
    return SLACK_S_MAX if request.promise.gap_s is None else request.promise.gap_s


def lru_victims(holders: Sequence[Holder], *, shortfall_bytes: int) -> tuple[Holder, ...] | None:
    """Who must give back memory: idle ones first, each least recently used first, ties by name.

    None when all of them together hold too little.
    """
    chosen: list[Holder] = []
    freed = 0
    for holder in sorted(holders, key=lambda holder: (holder.busy, holder.used_s, holder.name)):
        if freed >= shortfall_bytes:
            break
        chosen.append(holder)
        freed += holder.need_bytes
    return tuple(chosen) if freed >= shortfall_bytes else None
