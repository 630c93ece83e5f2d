"""A small editor for tests: raw JSON-RPC over a socket, every answer and notification kept."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from itertools import count

from lsp.endpoint import Endpoint

GHOST = {"textDocument": {"inlineCompletion": {"dynamicRegistration": False}}}


class AnswerError(Exception):
    """An error came instead of a result."""


class Editor:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.numbers = count(1)
        self.waiting: dict[int, asyncio.Future] = {}
        self.told: asyncio.Queue = asyncio.Queue()
        self.asked: asyncio.Queue = asyncio.Queue()
        self.version = 0
        self.closed = asyncio.ensure_future(self._read())

    def send(self, message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def notify(self, method, **params):
        self.send({"method": method, "params": params})

    def request(self, method, **params):
        """Send now; await the future for the answer. Its number is `future.number`."""
        number = next(self.numbers)
        future = self.waiting[number] = asyncio.get_running_loop().create_future()
        future.number = number
        self.send({"id": number, "method": method, "params": params})
        return future

    async def initialize(self, capabilities=GHOST, encodings=None, **extra):
        capabilities = dict(capabilities)
        if encodings:
            capabilities["general"] = {"positionEncodings": encodings}
        answer = await self.request(
            "initialize", processId=None, rootUri=None, capabilities=capabilities, **extra
        )
        self.notify("initialized")
        return answer["capabilities"]

    def open(self, text, uri="file:///w/a.py", language="python"):
        self.version = 1
        document = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", textDocument=document)

    def change(self, text, start, end=None, uri="file:///w/a.py"):
        self.version += 1
        change = {"range": {"start": at(*start), "end": at(*(end or start))}, "text": text}
        self.notify(
            "textDocument/didChange",
            textDocument={"uri": uri, "version": self.version},
            contentChanges=[change],
        )

    def ghost(self, line, character, uri="file:///w/a.py", invoked=False, **context):
        return self.request(
            "textDocument/inlineCompletion",
            textDocument={"uri": uri},
            position=at(line, character),
            context={"triggerKind": 1 if invoked else 2, **context},
        )

    def menu(self, line, character, uri="file:///w/a.py"):
        return self.request(
            "textDocument/completion", textDocument={"uri": uri}, position=at(line, character)
        )

    def cancel(self, future):
        self.notify("$/cancelRequest", id=future.number)

    async def _read(self):
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                header = await self.reader.readuntil(b"\r\n\r\n")
                size = int(header.split(b"Content-Length:")[1].split(b"\r\n")[0])
                self._take(json.loads(await self.reader.readexactly(size)))

    def _take(self, message):
        if "method" in message:
            (self.asked if "id" in message else self.told).put_nowait(message)
        elif "error" in message:
            self.waiting.pop(message["id"]).set_exception(AnswerError(message["error"]))
        else:
            self.waiting.pop(message["id"]).set_result(message["result"])


def at(line, character):
    return {"line": line, "character": character}


def span(start, end, line=0):
    return {"start": at(line, start), "end": at(line, end)}


def only(answer):
    """The one item of an answer."""
    (item,) = answer["items"]
    return item


@asynccontextmanager
async def serving(assistant, tmp_path, **options):
    """An endpoint on a Unix socket; gives a function that connects one more editor, and the endpoint."""
    endpoint = Endpoint(assistant, **options)
    path = str(tmp_path / "s")
    editors = []

    async def connect():
        editors.append(Editor(*await asyncio.open_unix_connection(path)))
        return editors[-1]

    async with await asyncio.start_unix_server(endpoint.serve, path) as server:
        server_closed = server
        try:
            yield connect, endpoint
        finally:
            for editor in editors:
                editor.writer.close()
                await editor.closed
            server_closed.close()
