"""One HTTP connection, on uvicorn's parser, with the two limits that uvicorn has not, and our shape of errors.

A request must have come whole, header and body, some seconds after its first byte (or after the connection was
opened), and there are only so many connections. Idle ones between requests are uvicorn's keep-alive to close.
Each request finds the connection's `Outlet` in its state.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from daemon.http.errors import ApiError

_ARRIVING = (h11.IDLE, h11.SEND_BODY)
_TOO_MANY = "too many connections: close some, or raise connections_max"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections, and how long one request may take to arrive."""

    connections_max: int = 1024
    arrival_s_max: float = 10.0


class Outlet:
    """Where a streamed body is written between its first and its last piece, past the layers of ASGI.

    Those cost as much as all else that the daemon does for a token, and a task that wakes up for each.
    """

    def __init__(self, connection: H11Protocol) -> None:
        self._connection = connection

    @property
    def full(self) -> bool:
        """Whether the client reads more slowly than is written: `drain` before more."""
        return self._connection.flow.write_paused

    async def drain(self) -> None:
        """Wait until it is not full."""
        await self._connection.flow.drain()

    def write(self, data: bytes) -> None:
        """Write some of the body, if the client is still there.

        h11 counts nothing in a chunked body, so chunks may pass it by. HTTP/1.0 has none: its bodies are bare.
        """
        connection = self._connection
        if not data or connection.transport.is_closing():
            return
        if connection.conn.their_http_version != b"1.0":
            data = b"%x\r\n%b\r\n" % (len(data), data)
        connection.transport.write(data)


class BoundedConnection(H11Protocol):
    """uvicorn's connection, closed when it is one too many or too slow."""

    def __init__(self, limits: Limits, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self.app_state = {**self.app_state, "outlet": Outlet(self)}
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, if there is room."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections_max:
            self._turn_away(ApiError(503, _TOO_MANY, headers={"Retry-After": "1"}))
        else:
            self._watch_arrival()

    def data_received(self, data: bytes) -> None:
        """Take some bytes."""
        super().data_received(data)
        self._watch_arrival()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_watching()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or has headers without end."""
        self._turn_away(ApiError(400, msg))

    def _turn_away(self, error: ApiError) -> None:
        """Say why and close; nothing is said into the middle of another answer."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_written(error))
        self.transport.close()

    def _watch_arrival(self) -> None:
        if self.conn.their_state not in _ARRIVING:
            self._stop_watching()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._limits.arrival_s_max, self.transport.close)

    def _stop_watching(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _written(error: ApiError) -> bytes:
    """An error as the bytes of an HTTP answer that ends its connection."""
    answer = error.response()
    answer.headers["connection"] = "close"
    lines = [f"HTTP/1.1 {error.code} {HTTPStatus(error.code).phrase}".encode()]
    lines += [key + b": " + value for key, value in answer.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(answer.body)])
