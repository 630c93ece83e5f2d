"""`python -m tests.sim.paper.tune`: how `policies.saber.SPARE` was chosen, as Markdown; on seeds that nothing is reported on.

The rule: of the values whose mean goodput over all cells is at most half a point below the best value's, the one
whose completion times scatter least, by the mean over all cells of their CV (standard deviation over mean, of
completion time over promise). Room kept for whoever may come is paid by those who wait for best effort.
"""

from __future__ import annotations

from statistics import fmean, pstdev

from tests.sim.paper.contest import Outcome, mean_percent, play

SEEDS = range(10)
SPARES = (1.0, 1.25, 1.5, 1.75, 2.0)
LOSS_MAX = 0.5
"""Points of goodput."""


def main() -> None:
    """Play every value on every cell, and say which the rule picks."""
    names = {spare: f"ours {spare}" for spare in SPARES}
    results = play(SEEDS, policies=names.values())
    rows = {}
    for spare, name in names.items():
        cells = [runs for (_, policy), runs in results.items() if policy == name]
        means, deviations = zip(*map(spread, cells), strict=True)
        cvs = [s / m for m, s in zip(means, deviations, strict=True)]
        rows[spare] = (fmean(map(mean_percent, cells)), *map(fmean, (means, deviations, cvs)))
    print("| spare | goodput % | mean | standard deviation | CV |\n| --- | --- | --- | --- | --- |")
    for spare, row in rows.items():
        print(f"| {spare} | {' | '.join(f'{value:.2f}' for value in row)} |")
    enough = max(row[0] for row in rows.values()) - LOSS_MAX
    chosen = min((spare for spare in rows if rows[spare][0] >= enough), key=lambda s: rows[s][-1])
    print(f"\nchosen: {chosen}")


def spread(runs: list[Outcome]) -> tuple[float, float]:
    """Mean and standard deviation of completion time over promise, over all requests of a cell."""
    ratios = [ratio for outcome in runs for ratio in outcome.ratios]
    return fmean(ratios), pstdev(ratios)


if __name__ == "__main__":
    main()
