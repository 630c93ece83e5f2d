"""Where `hearth` begins. What must be quick leaves before typer is imported: `lsp`, which an editor waits for, and `status`."""

from __future__ import annotations

import sys

from daemon.errors import HearthError


def main() -> None:
    """Run the command line and exit with its code."""
    arguments = sys.argv[1:]
    try:
        sys.exit(_run(arguments))
    except HearthError as error:
        sys.stderr.write(f"hearth: {error}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `hearth status | head -1`
        sys.stderr.close()
        sys.exit(0)


def _run(arguments: list[str]) -> int:
    match arguments:
        case ["status"] | ["status", "--json"]:
            from daemon.cli.status import run
        case ["lsp", *options] if not {"--help", "-h"} & set(options):
            from daemon.cli.lsp import run
        case _:
            from daemon.cli.app import run

            return run(arguments)
    return run(arguments[1:])


if __name__ == "__main__":
    main()
