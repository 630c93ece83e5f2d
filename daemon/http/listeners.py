"""Serving an app inside the daemon's own loop, on a TCP port and a Unix socket.

The sockets are bound here, before uvicorn sees them, so that an occupied one is an error with a message. uvicorn's
signal handlers and its ten wake-ups a second are left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn

from daemon.errors import BusyError, ConfigError
from daemon.http.connection import BoundedConnection, Limits

GRACE_S = 1.0
KEEP_ALIVE_S = 75
PRIVATE_UMASK = 0o177


class Listeners:
    """What is being listened on, until `close`."""

    def __init__(
        self, server: _Server, task: asyncio.Task[None], port: int | None, uds: Path | None
    ) -> None:
        self.port = port
        """The TCP port, chosen by the system where 0 was asked for."""
        self._server = server
        self._task = task
        self._uds = uds

    async def close(self) -> None:
        """Stop listening, give running requests a second, end the rest.

        Let the orchestrator end its tickets first: then nothing is left to be cut off.
        """
        self._server.stop()
        await self._task
        if self._uds is not None:
            self._uds.unlink(missing_ok=True)


async def start(
    app: Any,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    uds: Path | None = None,
    limits: Limits | None = None,
) -> Listeners:
    """Listen; on return connections are taken. BusyError where somebody else has the port or the socket."""
    with contextlib.ExitStack() as undo:
        sockets = []
        if port is not None:
            sockets.append(undo.enter_context(_bind_tcp(host, port)))
        if uds is not None:
            sockets.append(undo.enter_context(_bind_unix(uds)))
        server = _Server(_config(app, limits or Limits()))
        task = asyncio.create_task(server.serve(sockets), name="http")
        await server.listening(task)
        undo.pop_all()
    bound = sockets[0].getsockname()[1] if port is not None else None
    return Listeners(server, task, bound, uds)


class _Server(uvicorn.Server):
    """uvicorn's server as a guest: no signal handlers, no polling."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()
        self._listening = asyncio.Event()

    def stop(self) -> None:
        """Ask it to end."""
        self._stopping.set()

    async def listening(self, task: asyncio.Task[None]) -> None:
        """Wait until it listens, or raise what kept it from that."""
        waiter = asyncio.create_task(self._listening.wait())
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if task.done():
            task.result()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the daemon."""
        yield

    async def main_loop(self) -> None:
        """Sleep until `stop`."""
        self._listening.set()
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing new, give running requests a moment, end the rest."""
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if tasks := self.server_state.tasks.copy():
            _, late = await asyncio.wait(tasks, timeout=GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.sleep(0)  # closed transports say goodbye in the next turn of the loop


def _config(app: Any, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(BoundedConnection, limits)),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )


def _bind_tcp(host: str, port: int) -> socket.socket:
    family, address = _resolve(host, port)
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it an answer is 40 ms late
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen()
    except OSError as error:
        sock.close()
        raise _why(error, f"{host}:{port}") from error
    return sock


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    """The address to bind; IPv4 where a name has both, since that is what clients try for `localhost`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot listen on {host}: no such address; set `host`") from error
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return found[0][0], found[0][4]


def _bind_unix(path: Path) -> socket.socket:
    """A socket file that only its owner can open, from its first moment on."""
    _clear(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(PRIVATE_UMASK)
    try:
        sock.bind(str(path))
        sock.listen()
    except OSError as error:
        sock.close()
        raise _why(error, str(path)) from error
    finally:
        os.umask(before)
    return sock


def _clear(path: Path) -> None:
    """Remove a socket file that nobody answers on."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise BusyError(f"{path} exists and is no socket: move it away")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            except OSError as error:
                raise _why(error, str(path)) from error
            else:
                raise BusyError(f"another process answers on {path}")


def _why(error: OSError, where: str) -> BusyError | ConfigError:
    if error.errno == errno.EADDRINUSE:
        return BusyError(
            f"{where} is taken by another program (a llama-server?): stop it, or set another `port` (0 picks one)"
        )
    return ConfigError(f"cannot listen on {where}: {error.strerror or error}")
