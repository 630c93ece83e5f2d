"""How a stream's pieces reach the socket: at once, in order, framed as the client's HTTP has it, no faster than it reads."""

import asyncio
import json
import re
import socket

import pytest

from engines.engine import Emitted
from policies.messages import Outcome, Reason

BODY = json.dumps({"prompt": "a", "stream": True}).encode()
PIECES = 200
PIECE_CHARS = 100_000


def asking(version: str) -> bytes:
    head = (
        f"POST /v1/completions HTTP/{version}\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    return head.encode() + BODY


async def asked(server, version="1.1"):
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", server.listeners.port, limit=2 * PIECES * PIECE_CHARS
    )
    writer.write(asking(version))
    return reader, writer


def feed(server, text):
    server.script.desk.find(1).feed(Emitted(1, (0,), text, 0.0), 0.1)


def test_a_piece_is_in_the_socket_when_the_ticket_has_it(serving):
    """No task wakes up for a token: the client can read it before the loop turns again."""

    async def test(server):
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", server.listeners.port)) as client:
            client.setblocking(False)
            await loop.sock_sendall(client, asking("1.1"))
            while b"first" not in await loop.sock_recv(client, 1 << 16):
                pass
            feed(server, "second")
            client.settimeout(5)
            return client.recv(1 << 16)

    assert b'"text":"second"' in serving(test, open=True, pieces=("first",))


def test_a_client_that_does_not_read_gets_everything_later(serving):
    """Meanwhile the connection buffers little of it."""

    async def test(server):
        reader, writer = await asked(server)
        await reader.readuntil(b"first")
        for number in range(PIECES):
            feed(server, f"<{number}>" + "x" * PIECE_CHARS)
        (connection,) = server.listeners._server.server_state.connections
        buffered = connection.transport.get_write_buffer_size()
        server.script.finish_all()
        rest = await reader.readuntil(b"[DONE]\n\n")
        writer.close()
        return buffered, [int(number) for number in re.findall(rb"<(\d+)>", rest)]

    buffered, numbers = serving(test, open=True, pieces=("first",))
    assert numbers == list(range(PIECES))
    assert buffered < PIECES * PIECE_CHARS / 10


def test_http_1_0_has_no_chunks(serving):
    """Its body is bare and ends with the connection."""

    async def test(server):
        reader, writer = await asked(server, "1.0")
        await reader.readuntil(b"first")
        feed(server, "second")
        server.script.finish_all()
        rest = await reader.read()
        writer.close()
        return rest

    rest = serving(test, open=True, pieces=("first",))
    assert [line[:6] for line in rest.split(b"\n\n")[1:]] == [b"data: "] * 3 + [b""]
    assert b'"text":"second"' in rest


def test_a_connection_serves_one_stream_after_another(serving):
    async def test(server):
        answers = [
            (await server.api.post("/completion", json={"prompt": "a", "stream": True})).text
            for _ in range(3)
        ]
        return answers, len(server.listeners._server.server_state.connections)

    answers, connections = serving(test)
    assert connections == 1
    assert [re.findall('"content":"([^"]*)"', answer) for answer in answers] == (
        [["two", " words", ""]] * 3
    )


def test_what_fails_before_any_text_has_its_own_status(serving):
    """Tokens that are no whole character yet have begun no answer."""

    async def test(server):
        return await server.api.post("/completion", json={"prompt": "a", "stream": True})

    answer = serving(test, pieces=("", ""), outcome=Outcome.FAILED, reason=Reason.ENGINE)
    assert answer.status_code == 500


@pytest.mark.parametrize("path", ["/completion", "/v1/completions"])
def test_any_text_fits_into_the_pattern(serving, path):
    """Events are worded once around a gap: nothing in a text is taken for it."""
    pieces = ("\0", '"', "\\u0000", "\u2028é😀", "{}")

    async def test(server):
        return await server.api.post(path, json={"prompt": "a", "stream": True})

    lines = [line[6:] for line in serving(test, pieces=pieces).text.split("\n\n") if line]
    events = [json.loads(line) for line in lines[: len(pieces)]]
    texts = [event["content"] if "content" in event else event["choices"][0] for event in events]
    assert [text if isinstance(text, str) else text["text"] for text in texts] == list(pieces)
