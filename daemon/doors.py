"""Where clients come in: HTTP on a port and a Unix socket, editors on another socket; and what `/status` says of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator

from daemon import __version__
from daemon.config import Config
from daemon.errors import BusyError
from daemon.http.app import make_app
from daemon.http.connection import Limits
from daemon.http.listeners import Listeners, start
from daemon.http.settings import About, HttpSettings, Submitter
from daemon.paths import Home
from engines import devices
from lsp.endpoint import Endpoint

PRIVATE_UMASK = 0o177
LOOPBACK = "127.0.0.1"


class Doors:
    """Open from `open` to `close`. A daemon that an editor started does without a port that is taken."""

    def __init__(
        self, config: Config, home: Home, submitter: Submitter, endpoint: Endpoint
    ) -> None:
        self.home = home
        self.http_url = ""
        self.degraded: tuple[str, ...] = ()
        advice = devices.advice(devices.find_gpus(), devices.build_backends())
        self.notices = (advice,) if advice else ()
        self._server = config.server
        self._limits = Limits(connections_max=config.limits.connections_max)
        self._app = make_app(submitter, self.about, _settings(config))
        self._endpoint = endpoint
        self._listeners: Listeners | None = None
        self._editors: list[asyncio.Server] = []
        self._opened_s = time.monotonic()
        self._opened_unix_s = time.time()

    async def open(self, *, needs_ports: bool) -> None:
        """Listen: HTTP first and editors last, so that who can reach the editors' socket finds everything ready."""
        server = self._server
        try:
            await self._listen_http(server.port if server.http else None)
        except BusyError as error:
            self._do_without(error, needs_ports=needs_ports)
            await self._listen_http(None)
        if server.lsp_port is not None:
            try:
                await self._listen_tcp(server.lsp_port)
            except BusyError as error:
                self._do_without(error, needs_ports=needs_ports)
        with _umask(PRIVATE_UMASK):
            path = str(self.home.lsp_socket)
            self._editors.append(await asyncio.start_unix_server(self._endpoint.serve, path))

    async def close(self) -> None:
        """Take no more clients, and let go of those that are there."""
        for server in self._editors:
            server.close()
        self._endpoint.close()
        self.home.lsp_socket.unlink(missing_ok=True)
        if self._listeners:
            await self._listeners.close()

    def about(self) -> About:
        """The facts of this process."""
        return About(
            version=__version__,
            pid=os.getpid(),
            started_unix_s=self._opened_unix_s,
            uptime_s=time.monotonic() - self._opened_s,
            http=self.http_url,
            sockets=(str(self.home.http_socket), str(self.home.lsp_socket)),
            degraded=self.degraded,
            notices=self.notices,
        )

    async def _listen_http(self, port: int | None) -> None:
        host = self._server.host
        self._listeners = await start(
            self._app, host=host, port=port, uds=self.home.http_socket, limits=self._limits
        )
        if port is not None:
            shown = f"[{host}]" if ":" in host else host
            self.http_url = f"http://{shown}:{self._listeners.port}"

    async def _listen_tcp(self, port: int) -> None:
        """For editors in containers; on loopback alone, since an editor shows no token."""
        try:
            server = await asyncio.start_server(self._endpoint.serve, LOOPBACK, port)
        except OSError as error:
            raise BusyError(
                f"{LOOPBACK}:{port} is taken by another program: set another `lsp_port`"
            ) from error
        self._editors.append(server)

    def _do_without(self, error: BusyError, *, needs_ports: bool) -> None:
        if needs_ports:
            raise error
        self.degraded += (f"not reachable there: {error}",)


def _settings(config: Config) -> HttpSettings:
    server = config.server
    return HttpSettings(
        allowed_hosts=server.allowed_hosts,
        allowed_origins=server.allowed_origins,
        token=server.token or None,
        body_bytes_max=config.limits.body_max,
        tokens_max=config.limits.tokens_max,
        chains=config.chains,
    )


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
