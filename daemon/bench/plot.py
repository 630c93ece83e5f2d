"""Figures as a picture: how late each class is, and how many promises were kept, beside more and more background work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from daemon.bench.figures import Figures
from daemon.errors import UsageError
from policies.request import PROMISE_OF, Class

PANELS = (
    (Class.INTERACTIVE, "first_p95_ms", "completion: first token, p95 (ms; x: none came)"),
    (Class.FOREGROUND, "first_p95_ms", "chat: first token, p95 (ms; x: none came)"),
    (Class.INTERACTIVE, "kept_share", "completion: share of promises kept"),
    (Class.FOREGROUND, "kept_share", "chat: share of promises kept"),
)
MARKERS = "os"


def check_plot(file: Path) -> None:
    """UsageError where no picture could be drawn, before anything is measured for it."""
    if find_spec("matplotlib") is None:
        raise UsageError(
            "--plot needs matplotlib: install it beside Hearth (in a checkout: "
            "`.venv/bin/pip install matplotlib`)."
        )
    if not file.absolute().parent.is_dir():
        raise UsageError(f"{file}: there is no such folder.")


def draw(levels: Sequence[Sequence[Figures]], file: Path) -> None:
    """Write the picture; its format follows from the name."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(9, 7), layout="constrained")
    panels = picture.subplots(2, 2).flat
    for axes, (klass, name, title) in zip(panels, PANELS, strict=True):
        for side in range(max(map(len, levels), default=0)):
            _line(axes, [level[side] for level in levels if side < len(level)], side, klass, name)
        axes.set_title(title)
        axes.set_xlabel("background streams")
        axes.set_xticks([level[0].streams for level in levels])
        axes.grid(alpha=0.3)
        if name == "kept_share":
            axes.set_ylim(-0.05, 1.05)
        else:
            _as_times(axes, klass)
    picture.legend(
        *picture.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3
    )
    try:
        picture.savefig(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: cannot be written: {error}.") from error


def _line(axes: Any, measured: Sequence[Figures], side: int, klass: Class, name: str) -> None:
    """A cross on the upper edge stands where no figure came about: nobody got an answer there."""
    points = {one.streams: getattr(one.classes.get(klass.label), name, None) for one in measured}
    look = {"color": f"C{side}", "label": measured[0].policy}
    ys = [math.nan if y is None else y for y in points.values()]
    axes.plot(list(points), ys, marker=MARKERS[side], **look)
    missing = [streams for streams, y in points.items() if y is None]
    if missing:
        top = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.scatter(missing, [1.0] * len(missing), marker="x", color=look["color"], **top)


def _as_times(axes: Any, klass: Class) -> None:
    """From nothing on, with what was promised."""
    promised_s = PROMISE_OF[klass].first_token_s
    if promised_s is not None:
        axes.axhline(promised_s * 1e3, color="0.4", linestyle="--", label="promised")
    axes.set_ylim(bottom=0)
