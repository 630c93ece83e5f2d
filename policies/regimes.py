"""The ways of putting requests in order that a configuration can choose from: ours, and those it is measured against.

A regime is data: the order of the queues, who decides who starts, and whether classes mean anything to the engines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, assert_never

from policies.admissions import PromiseKeeper
from policies.admissions_plain import ByClass, FirstCome, RoundRobin
from policies.baselines import SLACK_S_MAX
from policies.candidate import Admission
from policies.request import Request
from policies.saber_published import PublishedSaber
from policies.step_model import StepModel

Order: TypeAlias = tuple[float, float, int]
"""A place in a queue: what counts first, then when, then the number."""


class Policy(StrEnum):
    """The names in the configuration."""

    HEARTH = "hearth"
    SABER = "saber"
    STATIC = "static"
    FCFS = "fcfs"
    ROUND_ROBIN = "round-robin"
    PRIORITY = "priority"


@dataclass(frozen=True, slots=True)
class Regime:
    """One way of putting requests in order."""

    order: Callable[[Request, float], Order]
    """A request and when it arrived: its place in the queue."""
    admission: Callable[[int, StepModel], Admission]
    """Who decides who starts, for a model of so many sequences whose steps cost so much."""
    preempts: bool = False
    """Whether lesser work makes way, in its own worker and in others."""
    by_class: bool = False
    """Whether engines are told how urgent a request is."""


def by_promise(request: Request, arrived_s: float) -> Order:
    """By class, then by when the promise is due: the least slack first. A request that waits again keeps its place."""
    limits = (request.promise.first_token_s, request.promise.whole_s)
    within_s = min((limit for limit in limits if limit is not None), default=SLACK_S_MAX)
    return (request.klass, arrived_s + within_s, request.id)


def by_class(request: Request, arrived_s: float) -> Order:
    """By class, then by arrival."""
    return (request.klass, arrived_s, request.id)


def by_arrival(request: Request, arrived_s: float) -> Order:
    """By arrival, whatever the class."""
    return (0.0, arrived_s, request.id)


def find_regime(policy: Policy, *, cap: int | None = None) -> Regime:
    """The regime of that name; `cap` is the most that run at once, by default all sequences."""

    def capped(make: Callable[[int], Admission]) -> Callable[[int, StepModel], Admission]:
        return lambda sequences, _: make(min(cap, sequences) if cap else sequences)

    match policy:
        case Policy.HEARTH:
            return Regime(
                by_promise, lambda _, costs: PromiseKeeper(costs), preempts=True, by_class=True
            )
        case Policy.SABER:
            return Regime(by_arrival, lambda *_: PublishedSaber())
        case Policy.STATIC | Policy.FCFS:
            return Regime(by_arrival, capped(FirstCome))
        case Policy.ROUND_ROBIN:
            return Regime(by_arrival, capped(RoundRobin))
        case Policy.PRIORITY:
            return Regime(by_class, capped(ByClass), by_class=True)
        case _:
            assert_never(policy)
