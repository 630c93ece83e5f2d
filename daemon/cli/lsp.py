"""`hearth lsp`: what an editor starts. It starts the daemon if none runs, then only carries bytes.

Standard library only: an editor waits for this import.
"""

from __future__ import annotations

import socket

from daemon.errors import NoDaemonError, UsageError
from daemon.lifecycle import start_if_absent
from daemon.paths import find_home
from lsp.pump import pump

CONNECT_S = 5.0


def run(arguments: list[str]) -> int:
    """Join the editor's stdio to the daemon's socket until either ends."""
    with _connect(arguments) as connection:
        return pump(connection)


def _connect(arguments: list[str]) -> socket.socket:
    match arguments:
        case [] | ["--stdio"]:
            home = find_home()
            start_if_absent(home)
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(home.lsp_socket))
            return connection
        case ["--connect", address]:
            return _connect_tcp(address)
        case _:
            raise UsageError(
                f"`hearth lsp` does not know {' '.join(arguments)}. It takes --connect HOST:PORT or nothing."
            )


def _connect_tcp(address: str) -> socket.socket:
    """For an editor in a container or a remote session: `[server] lsp_port` where the daemon runs."""
    host, _, port = address.rpartition(":")
    if not (port.isascii() and port.isdecimal()):
        raise UsageError(f"--connect takes HOST:PORT, not {address!r}.")
    try:
        return socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), CONNECT_S)
    except (OSError, UnicodeError, OverflowError) as error:
        raise NoDaemonError(
            f"nothing answers at {address}: {error}. Set `lsp_port` under [server] where the daemon runs."
        ) from error
