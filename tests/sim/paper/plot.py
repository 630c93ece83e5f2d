"""Goodput over the rate of requests, a panel a mix: the best cap, the paper's policy, ours, and where the optimum lies."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from tests.sim.paper.contest import Cell, Results, best_cap, interval
from tests.sim.paper.limits import Limits, mean_limit
from tests.sim.paper.published import MIXES, RATES, best_static_percent, saber_percent

SIDES = (
    ("ours", "C0", "ours"),
    ("published", "C1", "the paper's policy"),
    ("best cap", "C2", "best cap"),
)


def draw_plot(results: Results, limits: Limits, path: Path) -> None:
    """Write the picture; its format follows the name."""
    figure, panels = plt.subplots(1, len(MIXES), figsize=(11, 5), sharey=True, layout="constrained")
    for panel, mix in zip(panels, MIXES, strict=True):
        _panel(panel, mix, results, limits)
    panels[0].set_ylabel("promises kept, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=130)


def _panel(panel: plt.Axes, mix: str, results: Results, limits: Limits) -> None:
    cells = [Cell(mix, rate) for rate in RATES]
    for name, colour, label in SIDES:
        runs = [
            results[cell, best_cap(results, cell) if name == "best cap" else name] for cell in cells
        ]
        points = [interval([outcome.percent for outcome in each]) for each in runs]
        means, halves = zip(*points, strict=True)
        panel.errorbar(RATES, means, halves, label=label, color=colour, marker="o", ms=3, capsize=2)
    panel.plot(
        RATES, saber_percent(mix), "C1:", label="the paper's policy, as its authors measured"
    )
    panel.plot(RATES, best_static_percent(mix), "C2:", label="best cap, as the authors measured")
    known = [(cell.rate, limit) for cell in cells if (limit := mean_limit(limits, cell))]
    if known:
        rates, both = zip(*known, strict=True)
        low, high = [one.lower for one in both], [one.upper for one in both]
        panel.fill_between(rates, low, high, color="0.85", label="the optimum lies here")
    panel.set_title(f"mix {mix}")
    panel.set_xlabel("requests per second")
    panel.set_ylim(0, 103)
    panel.grid(alpha=0.3)
