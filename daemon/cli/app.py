"""The commands as typer sees them. What they print and return is theirs; errors pass through to `entry`."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from daemon import __version__

HELP = """One daemon on this workstation completes code in every editor.

Editors start it by themselves: VS Code and Neovim through their extension, any other with `hearth lsp` as a
language server, and clients of llama.cpp's server at http://127.0.0.1:8012. By hand:

\b
    hearth serve --detach          start it
    hearth complete app.py:12:5    see a completion
    hearth status                  see how it does
    hearth explain                 see why a request took as long as it did
    hearth bench                   measure it on this machine
    hearth doctor                  find out what is wrong

It works at once with the small model that comes with it; name better ones in the configuration
(`hearth models --help`). Exit codes: 0 ok, 2 usage, 3 no daemon, 4 configuration, 5 port or lock, 6 model,
7 too late.
"""

COMMANDS = ("serve", "stop", "complete", "models", "explain", "bench", "doctor")


def run(arguments: list[str]) -> int:
    """Run one command line; its exit code."""
    try:
        _app(arguments)(arguments, prog_name="hearth")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    return 0


def _app(arguments: list[str]) -> typer.Typer:
    """Only the command that is asked for is imported: `hearth complete` need not know pydantic."""
    app = typer.Typer(
        help=HELP, rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False
    )
    app.callback()(_global)
    wanted = [name for name in COMMANDS if name in arguments] or COMMANDS
    for name in wanted:
        app.command(name)(import_module(f"daemon.cli.{name}").command)
    app.command("status")(_status)
    app.command("lsp")(_lsp)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"hearth {__version__}")
        raise typer.Exit


def _global(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version and leave.",
        ),
    ] = False,
) -> None:
    """Options that stand before any command."""


def _status(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the document that /status serves.")
    ] = False,
) -> None:
    """Show what the daemon does: models, memory, waiting and running requests, latencies.

    TTFT is the time to the first token, E2E that to the whole answer; both over the last 1,000 requests.
    """
    from daemon.cli.status import run as run_status

    raise typer.Exit(run_status(["--json"] if as_json else []))


def _lsp(
    connect: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="A daemon's `lsp_port` instead of this user's own."),
    ] = "",
) -> None:
    """Speak the Language Server Protocol on standard input and output: what an editor is told to start.

    It starts the daemon if none runs. For Helix, in languages.toml:

    \b
        [language-server.hearth]
        command = "hearth"
        args = ["lsp"]
    """  # noqa: D301 - click wants a true backspace
    from daemon.cli.lsp import run as run_lsp

    raise typer.Exit(run_lsp(["--connect", connect] if connect else []))
