"""How commands ask the running daemon: HTTP over its Unix socket, with the standard library's client."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from daemon.errors import HearthError, NoDaemonError
from daemon.paths import Home

TIMEOUT_S = 5.0


class UnixConnection(http.client.HTTPConnection):
    """HTTP to a socket in the file system."""

    def __init__(self, path: Path, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Open the socket (called by the base class)."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def get_json(home: Home, path: str) -> Any:
    """The document at this path; NoDaemonError when nobody answers."""
    return ask_json(home, "GET", path, None)


def ask_json(home: Home, method: str, path: str, body: object | None) -> Any:
    """Send a request and decode what comes back."""
    connection = UnixConnection(home.http_socket)
    try:
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
    except TimeoutError as error:
        raise HearthError(
            f"the daemon did not answer within {TIMEOUT_S:.0f} s. Look into {home.log_file}; "
            "`hearth stop` ends it."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise NoDaemonError(
            f"no daemon answers at {home.http_socket}. Start one with `hearth serve --detach`; "
            "an editor's extension starts one by itself."
        ) from error
    finally:
        connection.close()
    if answer.status >= 400:
        raise HearthError(_complaint(path, answer.status, text))
    return json.loads(text)


def _complaint(path: str, status: int, text: bytes) -> str:
    """What an error's document says, or the beginning of whatever came instead."""
    try:
        return f"{json.loads(text)['error']['message']}."
    except (ValueError, KeyError, TypeError):
        return f"the daemon answered {path} with {status}: {text[:200]!r}"
