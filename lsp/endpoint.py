"""Where editors connect: each connection gets its own language server, on the loop of the caller.

pygls's own ways to serve run a loop of their own, share one server among connections, or end the process
with one editor; so the streams are wired here. What goes wrong on a connection ends that one only.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from itertools import count

from cattrs import Converter
from pygls.exceptions import JsonRpcException
from pygls.protocol import default_converter

from lsp.assistant import Assistant
from lsp.context import Limits
from lsp.framing import MalformedFrameError, read_frame
from lsp.language_server import Server
from lsp.session import Session

CONNECTIONS_MAX = 64
WRITE_BUFFER_BYTES_MAX = 4 << 20

log = logging.getLogger(__name__)


def excludes_nothing(_path: str) -> bool:
    """The default of `excluded`."""
    return False


class Endpoint:
    """Serves the editors; `serve` is what `asyncio.start_unix_server` wants."""

    def __init__(
        self,
        assistant: Assistant,
        *,
        version: str = "",
        limits: Limits | None = None,
        excluded: Callable[[str], bool] = excludes_nothing,
        connections_max: int = CONNECTIONS_MAX,
        write_buffer_bytes_max: int = WRITE_BUFFER_BYTES_MAX,
    ) -> None:
        self._assistant = assistant
        self._version = version
        self._limits = limits or Limits()
        self._excluded = excluded
        self._connections_max = connections_max
        self._write_buffer_bytes_max = write_buffer_bytes_max
        self._numbers = count(1)
        self._writers: dict[str, asyncio.StreamWriter] = {}
        # One for all: it holds no state, and the functions it makes for each message type take long to make.
        self._converter: Converter = default_converter()  # type: ignore[no-untyped-call]
        # pygls logs whole messages, also with its warnings; they hold the user's text.
        logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)

    @property
    def connections(self) -> int:
        """How many editors are connected."""
        return len(self._writers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one editor until it goes away."""
        name = f"editor-{next(self._numbers)}"
        if len(self._writers) >= self._connections_max:
            log.warning("%s: turned away, %d editors are connected", name, len(self._writers))
            writer.transport.abort()
            return
        session = Session(name, self._assistant, self._limits, self._excluded)
        server = Server(self._version, self._assistant, session, self._converter)
        server.protocol.set_writer(_BoundedWriter(name, writer, self._write_buffer_bytes_max))
        self._writers[name] = writer
        try:
            await _serve_messages(reader, server)
        except MalformedFrameError as error:
            log.warning("%s: disconnected: %s", name, error)
        except OSError:
            log.info("%s: connection lost", name)
        finally:
            del self._writers[name]
            server.end()
            writer.close()

    def close(self) -> None:
        """Disconnect every editor."""
        for writer in self._writers.values():
            writer.close()


async def _serve_messages(reader: asyncio.StreamReader, server: Server) -> None:
    while (frame := await read_frame(reader)) is not None:
        _handle(frame, server)
        # Handlers start in the loop's next turn. Each must take its snapshot before the next message,
        # which may be in the buffer already, changes the document.
        await asyncio.sleep(0)


def _handle(frame: bytes, server: Server) -> None:
    protocol = server.protocol
    try:
        data = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise MalformedFrameError("a frame that is no JSON") from error
    if not isinstance(data, dict) or data.get("jsonrpc") != "2.0":
        raise MalformedFrameError("a frame that is no JSON-RPC message")
    try:
        message = protocol.structure_message(data)
    except JsonRpcException as error:
        log.warning("a message of a wrong shape: %.60r", data.get("method", "an answer"))
        if "method" in data and "id" in data:
            protocol._send_response(data["id"], error=error.to_response_error())  # noqa: SLF001
        return
    protocol.handle_message(message)


class _BoundedWriter:
    """Writes without waiting, as pygls wants; an editor that does not read is disconnected."""

    def __init__(self, name: str, writer: asyncio.StreamWriter, bytes_max: int) -> None:
        self._name = name
        self._writer = writer
        self._bytes_max = bytes_max

    def write(self, data: bytes) -> None:
        """Send, unless too much is waiting to be read already."""
        transport = self._writer.transport
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() > self._bytes_max:
            log.warning("%s: disconnected: it does not read its answers", self._name)
            transport.abort()
            return
        self._writer.write(data)

    def close(self) -> None:
        """End the connection when what was written is sent."""
        self._writer.close()
