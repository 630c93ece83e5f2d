"""`hearth bench`: how this machine, with these models, bears a developer's whole load, beside another policy."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon import __version__
from daemon.cli.client import get_json
from daemon.cli.show import Progress, colour, milliseconds, print_json, table
from daemon.config import load_config
from daemon.errors import HearthError
from daemon.model_files import inspect_all
from daemon.paths import find_home
from policies.regimes import Policy

if TYPE_CHECKING:
    from daemon.bench.figures import Figures
    from daemon.bench.turns import Contest, Turn

STREAMS = (1, 4)
ROWS = {
    "first token p50": "first_p50_ms",
    "first token p95": "first_p95_ms",
    "whole p50": "whole_p50_ms",
    "whole p95": "whole_p95_ms",
    "longest pause": "gap_max_ms",
}
COUNTS = ("failed", "superseded")


def command(
    against: Annotated[
        Policy, typer.Option(help="The policy to compare the configured one with.")
    ] = Policy.FCFS,
    streams: Annotated[
        list[int] | None,
        typer.Option(
            min=0, max=64, help="Streams of background work; may be given several times [1 and 4]."
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            min=1.0, max=3600.0, help="Measured for each policy beside each number of streams."
        ),
    ] = 24.0,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measure this configuration.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the invented requests.")] = 1,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the figures (needs matplotlib).")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a document instead of tables.")
    ] = False,
) -> None:
    """Measure your models under a mixed load: an editor that types, a conversation, and background work.

    It starts daemons of its own on your configuration and leaves one that runs alone. Two minutes by default;
    Ctrl-C shows what was measured so far. `--against hearth` compares a policy with itself: that is the noise.

    \b
        hearth bench
        hearth bench --against saber --streams 2 --seconds 60
        hearth bench --plot bench.svg
    """  # noqa: D301 - click wants a true backspace
    from daemon.bench.plot import check_plot, draw
    from daemon.bench.turns import Contest, plan

    if plot:
        check_plot(plot)
    file = config or find_home().config_file
    loaded = load_config(file, required=config is not None)
    inspect_all(loaded.models)
    if warning := _neighbour():
        typer.echo(f"hearth: {warning}", err=True)
    levels = sorted(set(streams or STREAMS))
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as folder:
        contest = Contest(file, Path(folder), (loaded.scheduling.policy, against), seed)
        whole = _play(contest, plan(levels, seconds, 2), quiet=as_json)
    measured = contest.figures()
    if as_json:
        print_json(_document(measured, seed, interrupted=not whole))
    else:
        print("\n\n".join(map(page, measured)) or "Nothing was measured.")
    if plot:
        draw(measured, plot)


def _neighbour() -> str:
    """What a daemon that runs already means for the figures."""
    try:
        status = get_json(find_home(), "/status")
    except HearthError:
        return ""
    n_busy = sum(status["running"].values()) + sum(status["queued"].values())
    if n_busy:
        return f"your daemon is at work ({n_busy} requests): it will slow what is measured."
    return "your daemon runs; its models keep their memory, and what it is asked meanwhile shows in the figures."


def _play(contest: Contest, turns: Sequence[Turn], *, quiet: bool) -> bool:
    """Play them in order; False when somebody had enough."""
    progress = Progress()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for number, turn in enumerate(turns, start=1):
            name = contest.policies[turn.side]
            title = f"turn {number} of {len(turns)}: {name} beside {turn.streams} streams"

            def tick(elapsed_s: float, title: str = title, turn: Turn = turn) -> None:
                if not quiet and sys.stdout.isatty():
                    progress.update(f"{title}, {elapsed_s:.0f} of {turn.seconds:.0f} s")

            tick(0.0)
            contest.play(turn, tick)
    except KeyboardInterrupt:
        typer.echo("hearth: interrupted: these are the figures so far.", err=True)
        return False
    finally:
        signal.signal(signal.SIGTERM, before)
        if not quiet and sys.stdout.isatty():
            progress.end("")
    return True


def _document(
    measured: Sequence[Sequence[Figures]], seed: int, *, interrupted: bool
) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "version": __version__,
        "seed": seed,
        "interrupted": interrupted,
        "figures": [asdict(side) for level in measured for side in level],
    }


def page(sides: Sequence[Figures]) -> str:
    """The sides beside one number of streams: a row a figure, and how many times as much the second has."""
    streams = sides[0].streams
    title = colour(f"{streams} background stream{'s' * (streams != 1)}", "bold")
    head = ["class", "", *(side.policy for side in sides), "ratio"]
    rows = [row for label in sides[0].classes for row in _class_rows(label, sides)]
    speeds = [side.tokens_per_s for side in sides]
    rows.append(["all", "tokens/s", *(f"{speed:.0f}" for speed in speeds), _ratio(speeds)])
    return f"{title}\n{table([head, *rows])}"


def _class_rows(label: str, sides: Sequence[Figures]) -> list[list[str]]:
    of_class = [side.classes.get(label) for side in sides]
    rows = [[label, "requests", *(str(one.requests) if one else "-" for one in of_class), ""]]
    for name in COUNTS:
        counts = [getattr(one, name, 0) for one in of_class]
        if any(counts):
            rows.append(["", name, *map(str, counts), ""])
    if any(one and one.cut_off for one in of_class):
        shown = [f"{one.cut_off} ({one.cut_off_late} late)" if one else "-" for one in of_class]
        rows.append(["", "cut off", *shown, ""])
    for title, name in ROWS.items():
        values = [getattr(one, name, None) for one in of_class]
        if any(value is not None for value in values):
            rows.append(["", title, *map(milliseconds, values), _ratio(values)])
    if any(one and one.judged for one in of_class):
        shares = [one.kept_share if one else None for one in of_class]
        shown = [f"{one.kept}/{one.judged}" if one else "-" for one in of_class]
        rows.append(["", "promises kept", *shown, _ratio(shares)])
    return rows


def _ratio(values: Sequence[float | None]) -> str:
    """How many times as much the second has."""
    if len(values) < 2 or values[1] is None or not values[0]:
        return "-"
    return f"{values[1] / values[0]:.2f}"
