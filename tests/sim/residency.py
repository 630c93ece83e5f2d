"""How much a machine loads, and how long people wait for it, by who chooses the victims.

Every way plays the very same days (`residency_traces.py`). Figures are ratios to LRU on the same day, their geometric
mean over the seeds and its 95 % interval; seeds 0 to 9 are for tuning, 10 to 29 for what is reported.

    python -m tests.sim.residency [--seeds 10 30] [--traces polyglot team] [--ablate]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from policies.eviction import Eviction
from policies.request import Class
from tests.bench.figures import percentile, ratio_interval
from tests.sim.residency_traces import TRACES
from tests.sim.residency_ways import ABLATIONS, IDLE_S, WAYS
from tests.sim.residency_world import Found, World

FIGURES = ("evictions", "loading s", "int p95", "int p99", "int mean", "fg p95", "fg mean")
"""Of first tokens in seconds, but for the first two: at the cursor, and in the foreground."""
RATIOS = ("evictions", "loading s", "int p95", "int mean", "fg p95", "fg mean")

Way = Callable[[World], Eviction]


@dataclass(frozen=True)
class Result:
    """One day under one way: the figures by name."""

    trace: str
    seed: int
    way: str
    figures: Mapping[str, float]


def figures_of(found: Found) -> dict[str, float]:
    """The figures of a day; a class that nobody asked for has none."""
    figures: dict[str, float] = {"evictions": found.evictions, "loading s": found.loading_s}
    for label, klass in (("int", Class.INTERACTIVE), ("fg", Class.FOREGROUND)):
        if waits_s := found.first_token_s.get(klass):
            for share in (50, 95, 99):
                figures[f"{label} p{share}"] = percentile(waits_s, share / 100)
            figures[f"{label} mean"] = fmean(waits_s)
    return figures


def play(trace: str, seed: int, way: str, find: Way) -> Result:
    """One day under one way."""
    keep_s = IDLE_S if way == "keep-alive" else None
    found = World(TRACES[trace](seed), find, keep_s=keep_s).run()
    return Result(trace, seed, way, figures_of(found))


def play_all(traces: Iterable[str], seeds: Sequence[int], ways: Mapping[str, Way]) -> list[Result]:
    """Every day under every way."""
    return [
        play(trace, seed, way, find)
        for trace in traces
        for seed in seeds
        for way, find in ways.items()
    ]


def values(results: Iterable[Result], way: str, figure: str) -> dict[tuple[str, int], float]:
    """A way's figure, by trace and seed."""
    return {
        (one.trace, one.seed): one.figures[figure]
        for one in results
        if one.way == way and figure in one.figures
    }


def ratio(results: Sequence[Result], way: str, base: str, figure: str) -> str:
    """A figure of a way beside another's, day by day; days without any of it in either count as alike."""
    ours, theirs = values(results, way, figure), values(results, base, figure)
    if not ours:
        return f"{'-':>18}"
    pairs = [(max(ours[day], 1e-3), max(theirs[day], 1e-3)) for day in theirs]
    mean, low, high = ratio_interval(*zip(*pairs, strict=True))
    return f"{mean:5.2f} [{low:4.2f},{high:5.2f}]"


def table(results: Sequence[Result], ways: Iterable[str], base: str) -> str:
    """A block for each trace and one for all days together."""
    lines = []
    for trace in [*dict.fromkeys(one.trace for one in results), "all"]:
        days = [one for one in results if trace in (one.trace, "all")]
        absolute = {f: fmean(values(days, base, f).values() or [0.0]) for f in FIGURES}
        told = ", ".join(f"{name} {value:.2f}" for name, value in absolute.items())
        lines += [f"\n{trace}: {base} has {told}"]
        lines += [f"{'':<15}" + "".join(f"{name:>19}" for name in RATIOS)]
        lines += [
            f"{way:<15}" + "".join(f" {ratio(days, way, base, figure)}" for figure in RATIOS)
            for way in ways
            if way != base
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, nargs=2, default=(10, 30), metavar=("FROM", "TO"))
    parser.add_argument("--traces", nargs="+", choices=TRACES, default=list(TRACES))
    parser.add_argument("--ablate", action="store_true", help="ours without each of its sources")
    arguments = parser.parse_args()
    ways = {"ours": WAYS["ours"], **ABLATIONS} if arguments.ablate else WAYS
    results = play_all(arguments.traces, range(*arguments.seeds), ways)
    base = "ours" if arguments.ablate else "lru"
    print(table(results, ways, base))
    if not arguments.ablate:
        print("\nours beside hindsight:", table(results, ("ours",), "clairvoyant"))


if __name__ == "__main__":
    main()
