"""What is each part of Hearth worth? A mixed load under Hearth, under Hearth without one part, and under other policies.

    python -m tests.sim.ablation [--seeds 10] [--streams 0 3 6 12] [--models 1 2] [--only NAME ...]

Virtual time. One model with four sequences by the costs of a measured machine, or two such models that share its
device (tests/sim/shared_device.py says how). People ask for `ASKED_S` seconds, the same at every policy; background
streams go on for ever. All that share a machine share its steps' planner, and a newer completion supersedes an older
one under every policy: what differs is who starts, who makes way, and what engines are told.

Figures are means of the seeds' figures with the half width of their 95 % interval (Student's t).
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise

from daemon.journal import Journal
from daemon.life import Life, kept
from daemon.lives import read_lives
from engines.fake import FakeEngine
from engines.fake_knobs import Knobs
from policies.admissions import PromiseKeeper
from policies.candidate import Candidate, Verdict
from policies.limits import Limits
from policies.messages import Stepped
from policies.regimes import Policy, Regime, find_regime
from policies.request import Class, Kind
from policies.scheduler import Scheduler
from policies.view import ModelView
from tests.bench.figures import T_95, percentile
from tests.sim.machines import TWO_CORES
from tests.sim.people import Habits, People
from tests.sim.shared_device import Forgetful, Workstation
from tests.sim.simulator import Scene

ASKED_S = 120.0
AFTER_S = 15.0
"""People may wait so long for the last answers; what is not there then never was."""
KNOBS = Knobs(step_s=TWO_CORES.step_s, abort_s=TWO_CORES.abort_ms / 1e3, sequences=4)
NEVER_SUPERSEDED = -1
"""Lines: no two requests are so near to each other."""


class InOrder:
    """No admission: whoever is first starts."""

    def next(
        self, waiting: Sequence[Candidate], running: Sequence[Candidate], *, now: float
    ) -> Verdict:
        del running, now
        return Verdict(start=waiting[0].id)


class KeystrokesFirst(PromiseKeeper):
    """Where nobody makes way, keystrokes come to admission too, and are let in."""

    def next(
        self, waiting: Sequence[Candidate], running: Sequence[Candidate], *, now: float
    ) -> Verdict:
        if waiting[0].klass is Class.INTERACTIVE:
            return Verdict(start=waiting[0].id)
        return super().next(waiting, running, now=now)


@dataclass(frozen=True)
class Variant:
    """One way of running the machine."""

    regime: Regime
    limits: Limits = field(default_factory=Limits)
    knobs: Knobs = KNOBS
    engine: type[FakeEngine] = FakeEngine


HEARTH = find_regime(Policy.HEARTH)
VARIANTS: dict[str, Variant] = {
    "hearth": Variant(HEARTH),
    "no supersede": Variant(HEARTH, Limits(neighbour_lines=NEVER_SUPERSEDED)),
    "no parking": Variant(HEARTH, engine=Forgetful),
    "no pausing": Variant(HEARTH, Limits(rest_s=0.0)),
    "no breaking off": Variant(HEARTH, knobs=replace(KNOBS, can_abort=False)),
    "whole chunks": Variant(HEARTH, knobs=replace(KNOBS, quantum_s=60.0)),
    "no admission": Variant(replace(HEARTH, admission=lambda *_: InOrder())),
    "no preemption": Variant(
        replace(HEARTH, preempts=False, admission=lambda _, costs: KeystrokesFirst(costs))
    ),
    "engines told nothing": Variant(replace(HEARTH, by_class=False)),
    "static (fcfs)": Variant(find_regime(Policy.STATIC)),
    "round-robin": Variant(find_regime(Policy.ROUND_ROBIN)),
    "priority": Variant(find_regime(Policy.PRIORITY)),
    "saber, published": Variant(find_regime(Policy.SABER)),
}
COLUMNS = {
    "type50": "completion TTFT p50, ms",
    "type95": "completion TTFT p95, ms",
    "chat95": "chat TTFT p95, ms",
    "gap95": "chat gap p95, ms",
    "kept T": "promises kept: completions (the last of each burst), %",
    "kept C": "chats, %",
    "kept D": "translations and summaries, %",
    "bg/s": "background tokens a second",
    "useful/s": "tokens a second of kept promises, and of background",
    "evaluated": "prompt tokens evaluated",
}
Figures = dict[str, float]


def play(
    variant: Variant,
    seed: int,
    *,
    streams: int,
    models: int = 1,
    asked_s: float = ASKED_S,
    habits: Habits | None = None,
    check: bool = False,
) -> Figures:
    """One day under one variant. `streams` are divided between the models."""
    names = ("coder", "talker")[:models]
    people = People(seed, asked_s, names[0], names[-1], habits)
    views = tuple(ModelView(name, frozenset(Kind), frozenset(), 1, sequences=0) for name in names)
    scene = Scene(
        views, variant.limits, tuple(people.arrivals()), knobs=lambda _m, _n: variant.knobs
    )
    workstation = Workstation(
        scene,
        Scheduler(views, variant.limits, variant.regime),
        people,
        streams={name: (streams + n) // models for n, name in enumerate(names)},
        closes_s=asked_s + AFTER_S,
        engine=variant.engine,
        check=check,
    )
    return figures(workstation.run(), people.finals, asked_s)


def figures(journal: Journal, finals: set[int], asked_s: float) -> Figures:
    """What a day was like for everybody. Of completions only `finals` count: others were overtaken on purpose."""
    lives = list(read_lives(journal).values())
    by_kind: dict[Kind, list[Life]] = {kind: [] for kind in Kind}
    for life in lives:
        if life.request and (life.request.kind is not Kind.COMPLETE or life.id in finals):
            by_kind[life.request.kind].append(life)
    typed, chats = by_kind[Kind.COMPLETE], by_kind[Kind.CHAT]
    deferred = by_kind[Kind.TRANSLATE] + by_kind[Kind.SUMMARISE]
    background = {life.id for life in by_kind[Kind.INDEX]}
    steps = [(e.now, e.event) for e in journal if isinstance(e.event, Stepped) and e.now < asked_s]
    emitted = [(who, count) for _, step in steps for who, count in step.emitted]
    done = sum(count for who, count in emitted if who in background)
    useful = done + sum(life.output_tokens for life in (*typed, *chats, *deferred) if _kept(life))
    return {
        "type50": _late_ms(typed, 0.5),
        "type95": _late_ms(typed, 0.95),
        "chat95": _late_ms(chats, 0.95),
        "gap95": percentile(_gaps_ms(journal, {life.id for life in chats}), 0.95),
        "kept T": _share_kept(typed),
        "kept C": _share_kept(chats),
        "kept D": _share_kept(deferred),
        "bg/s": done / asked_s,
        "useful/s": useful / asked_s,
        "evaluated": float(sum(step.prefilled_tokens for _, step in steps)),
    }


def _kept(life: Life) -> bool:
    return kept(life, life.ended_s) is True


def _share_kept(lives: Sequence[Life]) -> float:
    return 100 * sum(map(_kept, lives)) / len(lives)


def _late_ms(lives: Sequence[Life], share: float) -> float:
    """Of who never got a token, the wait until everybody left."""
    waits = [
        life.since_arrival(life.ended_s if life.first_s is None else life.first_s) for life in lives
    ]
    return 1e3 * percentile(waits, share)


def _gaps_ms(journal: Journal, ids: set[int]) -> list[float]:
    """Every pause between two tokens of these requests."""
    moments: dict[int, list[float]] = {}
    for entry in journal:
        if isinstance(entry.event, Stepped):
            for who, _ in entry.event.emitted:
                if who in ids:
                    moments.setdefault(who, []).append(entry.now)
    return [1e3 * (b - a) for times in moments.values() for a, b in pairwise(times)] or [0.0]


# --- tables -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    variant: str
    streams: int
    models: int


def measure(case: Case, seed: int) -> Figures:
    """One run of one row."""
    return play(VARIANTS[case.variant], seed, streams=case.streams, models=case.models)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half the width of its 95 % interval."""
    t = T_95[max(n for n in T_95 if n <= len(values))]
    return statistics.fmean(values), t * statistics.stdev(values) / len(values) ** 0.5


def table(cases: Sequence[Case], seeds: int, run: Callable[..., Iterable[Figures]] = map) -> str:
    """All rows, measured."""
    pairs = [(case, seed) for case in cases for seed in range(seeds)]
    found = list(run(measure, *zip(*pairs, strict=True)))
    lines = [f"{name}: {meaning}" for name, meaning in COLUMNS.items()]
    before = None
    for n, case in enumerate(cases):
        if before != (case.models, case.streams):
            before = (case.models, case.streams)
            lines += ["", f"{case.models} model(s), {case.streams} background streams"]
            lines.append(f"{'':<21}" + "".join(f"{name:>14}" for name in COLUMNS))
        runs = found[n * seeds : (n + 1) * seeds]
        told = (interval([run[name] for run in runs]) for name in COLUMNS)
        lines.append(
            f"{case.variant:<21}" + "".join(f"{mean:>8.0f} ±{half:>4.0f}" for mean, half in told)
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--streams", type=int, nargs="+", default=[0, 3, 6, 12])
    parser.add_argument("--models", type=int, nargs="+", default=[1, 2], choices=(1, 2))
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    arguments = parser.parse_args()
    cases = [
        Case(name, streams, models)
        for models in arguments.models
        for streams in arguments.streams
        for name in arguments.only
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        print(table(cases, arguments.seeds, partial(pool.map, chunksize=4)))


if __name__ == "__main__":
    main()
