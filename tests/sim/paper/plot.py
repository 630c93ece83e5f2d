"""Goodput over the rate of requests, a panel a mix: the best cap, the paper's policy, ours, and the bound."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from tests.sim.paper.contest import Cell, Results, best_cap, interval
from tests.sim.paper.published import MIXES, RATES, best_static_percent, saber_percent


def draw_plot(results: Results, bounds: dict[Cell, float], path: Path) -> None:
    """Write the picture; its format follows the name."""
    figure, panels = plt.subplots(1, len(MIXES), figsize=(11, 4), sharey=True)
    for panel, mix in zip(panels, MIXES, strict=True):
        _panel(panel, mix, results, bounds)
    panels[0].set_ylabel("promises kept, %")
    panels[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def _panel(panel: plt.Axes, mix: str, results: Results, bounds: dict[Cell, float]) -> None:
    cells = [Cell(mix, rate) for rate in RATES]
    for name, colour in (("ours", "C0"), ("published", "C1"), ("best cap", "C2")):
        runs = [
            results[cell, best_cap(results, cell) if name == "best cap" else name] for cell in cells
        ]
        points = [interval([outcome.percent for outcome in each]) for each in runs]
        means, halves = zip(*points, strict=True)
        panel.errorbar(RATES, means, halves, label=name, color=colour, marker="o", ms=3, capsize=2)
    panel.plot(RATES, saber_percent(mix), "C1:", label="published, by its authors")
    panel.plot(RATES, best_static_percent(mix), "C2:", label="best cap, by its authors")
    if bounds:
        panel.plot(RATES, [bounds[cell] for cell in cells], "k--", lw=1, label="bound")
    panel.set_title(mix)
    panel.set_xlabel("requests per second")
