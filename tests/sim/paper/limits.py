"""`python -m tests.sim.paper.limits FILE`: what a perfect policy could keep, run by run, between two estimates, into a file.

`bound` says what nobody can exceed, `clairvoyant` what somebody reaches who knows the future; the optimum lies between. Both are
slow (a quarter of an hour for all), so a run that was broken off goes on where it was. Needs `pip install '.[paper]'`.
"""

from __future__ import annotations

import argparse
import json
from importlib.util import find_spec
from multiprocessing import Pool
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from tests.sim.paper.arrivals import draw
from tests.sim.paper.contest import CELLS, PREFILL_S, Cell, Results, best_cap

SEEDS = range(10, 20)


class Limit(NamedTuple):
    """Of one run, percent."""

    upper: float
    """No policy keeps more."""
    lower: float
    """A clairvoyant keeps so many."""


Limits = dict[Cell, dict[int, Limit]]
"""By seed."""


def read_limits(file: Path | None) -> Limits:
    """Those that were found so far; none where there is no file."""
    limits: Limits = {cell: {} for cell in CELLS}
    for mix, rate, seed, *values in json.loads(file.read_text()) if file and file.exists() else ():
        limits[Cell(mix, rate)][seed] = Limit(*values)
    return limits


def mean_limit(limits: Limits, cell: Cell) -> Limit | None:
    """Of a cell, over the seeds for which it is known."""
    known = limits[cell].values()
    return Limit(*map(fmean, zip(*known, strict=True))) if known else None


def gap_closed(
    results: Results, limits: Limits, mix: str, policy: str, seeds: range
) -> tuple[float, float] | None:
    """Percent of the way from the best cap to the upper and to the lower estimate, on the runs that have them.

    `results` are of `seeds`. Summed over the rates, since a gap of one rate alone may be nothing.
    """
    mine = cap = upper = lower = 0.0
    for cell in (cell for cell in CELLS if cell.mix == mix):
        best = results[cell, best_cap(results, cell)]
        for seed, limit in limits[cell].items():
            if seed not in seeds:
                continue
            place = seeds.index(seed)
            mine += results[cell, policy][place].percent
            cap += best[place].percent
            upper += limit.upper
            lower += limit.lower
    if not upper:
        return None
    return 100 * (mine - cap) / (upper - cap), 100 * (mine - cap) / (lower - cap)


def find_limit(cell: Cell, seed: int) -> tuple[Cell, int, Limit]:
    """Both estimates of one run. A run has a hundred requests, so that their number is percent."""
    from tests.sim.paper.bound import kept_at_most
    from tests.sim.paper.clairvoyant import kept_at_least

    requests = draw(*cell, seed)
    lower = kept_at_least(requests, prefill_s=PREFILL_S, seed=seed)
    upper = len(requests) if lower == len(requests) else kept_at_most(requests, prefill_s=PREFILL_S)
    return cell, seed, Limit(round(upper, 2), lower)


def main() -> None:
    """Find what the file lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if find_spec("scipy") is None:
        parser.error("a bound needs scipy: `pip install '.[paper]'`")
    limits = read_limits(options.file)
    jobs = [(cell, seed) for seed in SEEDS for cell in CELLS if seed not in limits[cell]]
    with Pool(options.processes) as pool:
        for cell, seed, limit in pool.imap_unordered(_find, jobs):
            limits[cell][seed] = limit
            partial = options.file.with_suffix(".partial")
            partial.write_text(_written(limits))
            partial.replace(options.file)


def _find(job: tuple[Cell, int]) -> tuple[Cell, int, Limit]:
    return find_limit(*job)


def _written(limits: Limits) -> str:
    rows = [
        [*cell, seed, *limit] for cell, known in limits.items() for seed, limit in known.items()
    ]
    return "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n"


if __name__ == "__main__":
    main()
