"""Figures as a picture: how late each class is, and how many promises were kept, beside more and more background work."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from daemon.bench.figures import Figures
from daemon.errors import UsageError

PANELS = (
    ("interactive", "first_p95_ms", "completion: first token, p95 (ms)"),
    ("foreground", "first_p95_ms", "chat: first token, p95 (ms)"),
    ("interactive", "kept_share", "completion: promises kept"),
)


def check_plot(file: Path) -> None:
    """UsageError where no picture could be drawn, before anything is measured for it."""
    if find_spec("matplotlib") is None:
        raise UsageError(
            "--plot needs matplotlib: install it beside Hearth, `pip install 'hearth[plot]'` "
            "(in a checkout `.venv/bin/pip install matplotlib`)."
        )
    if not file.absolute().parent.is_dir():
        raise UsageError(f"{file}: there is no such folder.")


def draw(levels: Sequence[Sequence[Figures]], file: Path) -> None:
    """Write the picture; its format follows from the name."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(4.5 * len(PANELS), 4), layout="constrained")
    for place, (klass, name, title) in enumerate(PANELS, start=1):
        axes = picture.add_subplot(1, len(PANELS), place)
        for side in range(max(map(len, levels), default=0)):
            measured = [level[side] for level in levels if side < len(level)]
            xs = [one.streams for one in measured]
            ys = [getattr(one.classes.get(klass), name, None) for one in measured]
            axes.plot(xs, ys, marker="o", label=measured[0].policy)
        axes.set_title(title)
        axes.set_xlabel("background streams")
        axes.legend()
    try:
        picture.savefig(file)
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: cannot be written: {error}.") from error
