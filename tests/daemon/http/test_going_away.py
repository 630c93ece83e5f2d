"""A client that goes away withdraws its request, wherever it is."""

import asyncio
import json

import pytest

from policies.messages import Reason

BODIES = {
    "/infill": {"input_prefix": "a", "input_suffix": "b"},
    "/completion": {"prompt": "a"},
    "/v1/completions": {"prompt": "a"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "a"}]},
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("pieces", [(), ("some",)])
def test_gone(serving, path, stream, pieces):
    async def test(server):
        body = json.dumps(BODIES[path] | {"stream": stream}).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", server.listeners.port)
        writer.write(head.encode() + body)
        if stream and pieces:
            await reader.readuntil(b"some")
        else:
            await server.script.until(lambda: bool(server.script.asks))
        writer.close()
        await writer.wait_closed()
        await server.script.until(lambda: bool(server.script.ends))
        return server.script.ends

    assert serving(test, open=True, pieces=pieces) == [Reason.CLIENT]


def test_closing_ends_what_still_runs(serving):
    """Nobody waits for a stream that has no end."""

    async def test(server):
        asked = asyncio.create_task(server.api.post("/completion", json={"prompt": "a"}))
        await server.script.until(lambda: bool(server.script.asks))
        closing = asyncio.create_task(server.listeners.close())
        server.script.finish_all()
        await closing
        return await asked

    assert serving(test, open=True).json()["content"] == "two words"
