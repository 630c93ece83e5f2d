"""The byte pump of `hearth lsp`: standard input and output to the daemon's socket and back.

Plain sockets and threads, and nothing imported that is not needed: every editor keeps one of these.
It knows nothing of what it carries.

    stdin ── thread ──> socket ──> daemon        stdin ends:   the socket is half closed, answers still come
    stdout <── main ─── socket <── daemon        socket ends:  the pump ends; well if the daemon is well
"""

from __future__ import annotations

import os
import socket
import sys
import threading

NO_DAEMON = 3
"""The exit code of `daemon.errors.NoDaemonError`."""
ANSWER_S_MAX = 2.0
CHUNK_BYTES = 1 << 16


def pump(connection: socket.socket) -> int:
    """Carry bytes both ways until either side ends; the answer is the exit code."""
    peer = connection.getpeername()
    connection.settimeout(None)
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stdin_ended = threading.Event()
    threading.Thread(target=_pump_up, args=(connection, stdin_ended), daemon=True).start()
    if not _pump_down(connection):
        return 0  # the editor no longer reads
    if stdin_ended.is_set() or _answers(connection.family, peer):
        return 0  # ended in order: by the editor, or by the daemon after the editor's `exit`
    sys.stderr.write("hearth: the daemon is gone; restart the language server to start it again\n")
    return NO_DAEMON


def _pump_up(connection: socket.socket, stdin_ended: threading.Event) -> None:
    try:
        while chunk := os.read(0, CHUNK_BYTES):
            connection.sendall(chunk)
        stdin_ended.set()
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the daemon's side is closed, which the other thread sees


def _pump_down(connection: socket.socket) -> bool:
    """Whether the daemon's side ended, and not the editor's."""
    while chunk := _receive(connection):
        view = memoryview(chunk)
        while view:
            try:
                view = view[os.write(1, view) :]
            except BrokenPipeError:
                return False
    return True


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(CHUNK_BYTES)
    except OSError:
        return b""


def _answers(family: int, peer: str | tuple[str, int]) -> bool:
    """Whether somebody listens where the connection went to: then it was ended on purpose."""
    with socket.socket(family) as probe:
        probe.settimeout(ANSWER_S_MAX)
        return probe.connect_ex(peer) == 0
