"""Policies against each other on the same runs: every cell is a mix and a rate, every run a seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt
from multiprocessing import Pool
from statistics import fmean, stdev
from typing import NamedTuple

from policies.admissions_plain import FirstCome
from policies.candidate import Admission
from policies.saber import Saber
from policies.saber_published import PublishedSaber
from tests.sim.paper.arrivals import draw
from tests.sim.paper.published import CAPS, MIXES, RATES, REQUESTS, TASKS
from tests.sim.paper.serving import decode_per_s, serve

PREFILL_S = 0.018
"""What evaluating a prompt takes from everybody: the one constant that is fitted (see `tests.sim.paper.reproduce`)."""

POLICIES = (*(f"cap {cap}" for cap in CAPS), "published", "ours")


class Cell(NamedTuple):
    """What is drawn, but for the seed."""

    mix: str
    rate: int


CELLS = [Cell(mix, rate) for mix in MIXES for rate in RATES]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run under one policy."""

    kept: Mapping[str, int]
    """Promises kept, by task."""
    ratios: tuple[float, ...]
    """Completion time over what was promised, of each request."""

    @property
    def percent(self) -> float:
        """Goodput: the share of all requests whose promise was kept."""
        return 100 * sum(self.kept.values()) / len(self.ratios)


class PaperPace:
    """What a policy is told of the engine: the truth."""

    def decode_per_s(self, sequences: int) -> float:
        """Tokens per second of each."""
        return _decode_per_s(sequences)

    def prefill_s(self, tokens: int) -> float:
        """Seconds of one prompt, for one that is still to be evaluated."""
        return PREFILL_S * tokens


_decode_per_s = cache(decode_per_s)


def admission(policy: str) -> Admission:
    """A fresh policy by its name in POLICIES; "ours 1.5" is ours with another spare."""
    match policy.split():
        case ["cap", cap]:
            return FirstCome(int(cap))
        case ["published"]:
            return PublishedSaber()
        case ["ours", spare]:
            return Saber(PaperPace(), spare=float(spare))
        case _:
            return Saber(PaperPace())


def run(cell: Cell, policy: str, seed: int) -> Outcome:
    """One run."""
    served = serve(draw(*cell, seed), admission(policy), prefill_s=PREFILL_S)
    kept = dict.fromkeys(TASKS, 0)
    for one in served:
        kept[one.request.task.name] += one.kept
    return Outcome(kept, tuple(one.ratio for one in served))


Results = dict[tuple[Cell, str], list[Outcome]]


def play(
    seeds: Sequence[int],
    *,
    policies: Iterable[str] = POLICIES,
    cells: Iterable[Cell] = CELLS,
    processes: int = 2,
) -> Results:
    """Every policy on every cell, a run a seed."""
    jobs = [(cell, policy) for cell in cells for policy in policies]
    with Pool(processes) as pool:
        runs = pool.starmap(_runs, [(*job, seeds) for job in jobs], chunksize=1)
    return dict(zip(jobs, runs, strict=True))


def _runs(cell: Cell, policy: str, seeds: Sequence[int]) -> list[Outcome]:
    return [run(cell, policy, seed) for seed in seeds]


def mean_percent(outcomes: Iterable[Outcome]) -> float:
    """Goodput, over the runs of a cell."""
    return fmean(outcome.percent for outcome in outcomes)


def task_percent(cell: Cell, outcomes: Sequence[Outcome], task: str) -> float:
    """Goodput of one task, over the runs of a cell."""
    sent = len(outcomes) * REQUESTS * MIXES[cell.mix][task] / 100
    return 100 * sum(outcome.kept[task] for outcome in outcomes) / sent


def best_cap(results: Results, cell: Cell) -> str:
    """The static cap that was best on these very runs: hindsight that nobody has."""
    caps = (f"cap {cap}" for cap in CAPS)
    return max(caps, key=lambda policy: mean_percent(results[cell, policy]))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half of its 95 % interval (Student's t with 19 degrees of freedom, for 20 runs or about)."""
    return fmean(values), 2.093 * stdev(values) / sqrt(len(values))
