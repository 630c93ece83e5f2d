"""What goes wrong on a connection ends that connection, and nothing else."""

from __future__ import annotations

import asyncio
import logging

import pytest

from lsp.framing import FRAME_BYTES_MAX
from tests.lsp.editor import AnswerError, serving
from tests.lsp.scripted import Scripted


def run(scenario, tmp_path, **options):
    async def body():
        assistant = Scripted("1")
        async with serving(assistant, tmp_path, **options) as (connect, endpoint):
            await scenario(connect, endpoint, assistant)

    asyncio.run(asyncio.wait_for(body(), 20))


async def turn():
    """Let the loop go round once."""
    await asyncio.get_running_loop().run_in_executor(None, lambda: None)


async def flood(writer, data):
    while True:
        writer.write(data)
        await writer.drain()


async def works(editor):
    await editor.initialize()
    editor.open("x = ")
    return (await editor.ghost(0, 4))["items"] != []


def test_exit_ends_the_connection_and_not_the_loop(tmp_path):
    """ENGINE.md 28: one editor's ordinary exit is nobody else's end."""

    async def scenario(connect, endpoint, assistant):
        one, two = await connect(), await connect()
        assert await works(two)
        await one.initialize()
        await one.request("shutdown")
        one.notify("exit")
        await one.closed
        assert await works(await connect())
        two.change("y", (0, 0))
        assert (await two.ghost(0, 5))["items"]
        assert len(assistant.gone) == 1

    run(scenario, tmp_path)


def test_exit_without_shutdown_is_no_worse(tmp_path):
    async def scenario(connect, endpoint, assistant):
        one = await connect()
        one.notify("exit")
        await one.closed
        assert await works(await connect())

    run(scenario, tmp_path)


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello\r\n\r\n",
        b"Content-Length: ten\r\n\r\n",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: %d\r\n\r\n" % (FRAME_BYTES_MAX + 1),
        b"Content-Length: 99999999999999999999999\r\n\r\n",
        b"Content-Length: 5\r\n\r\n{bad}",
        b"Content-Length: 2\r\n\r\n[]",
        b"Content-Length: 2\r\n\r\n\xff\xff",
        b"Content-Type: b\r\n" * 9,
        b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000,
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
        b"x" * 200_000,
    ],
)
def test_a_malformed_frame_ends_its_connection_with_a_line_in_the_log(tmp_path, garbage, caplog):
    async def scenario(connect, endpoint, assistant):
        one, two = await connect(), await connect()
        one.writer.write(garbage)
        await one.closed
        assert await works(two)
        assert endpoint.connections == 1

    run(scenario, tmp_path)
    assert "disconnected" in caplog.text


def test_an_end_inside_a_frame_is_survived(tmp_path):
    async def scenario(connect, endpoint, assistant):
        one = await connect()
        one.writer.write(b"Content-Length: 100\r\n\r\n{")
        one.writer.close()
        await one.closed
        assert await works(await connect())

    run(scenario, tmp_path)


def test_other_headers_and_any_case_are_fine(tmp_path):
    async def scenario(connect, endpoint, assistant):
        editor = await connect()
        body = b'{"jsonrpc":"2.0","id":1,"method":"shutdown"}'
        future = editor.waiting[1] = asyncio.get_running_loop().create_future()
        editor.writer.write(
            b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        assert await future is None

    run(scenario, tmp_path)


def test_a_request_of_a_wrong_shape_gets_an_error_and_the_session_goes_on(tmp_path, caplog):
    async def scenario(connect, endpoint, assistant):
        editor = await connect()
        assert await works(editor)
        with pytest.raises(AnswerError, match="32602"):
            await editor.request("textDocument/inlineCompletion", position="here")
        with pytest.raises(AnswerError, match="32602"):
            await editor.ghost(-1, 0)
        with pytest.raises(AnswerError, match="32601"):
            await editor.request("no/such/method")
        editor.notify("textDocument/didChange", textDocument=3)
        assert (await editor.ghost(0, 4))["items"]

    run(scenario, tmp_path)


def test_requests_before_initialize_do_not_hurt(tmp_path):
    async def scenario(connect, endpoint, assistant):
        editor = await connect()
        editor.notify("initialized")
        editor.open("x = ")
        assert await editor.ghost(0, 4) is not None
        assert await works(await connect())

    run(scenario, tmp_path)


def test_one_editor_too_many_is_turned_away(tmp_path, caplog):
    async def scenario(connect, endpoint, assistant):
        one, two = await connect(), await connect()
        await works(one)
        await two.closed
        one.writer.close()
        await one.closed
        while endpoint.connections:
            await turn()
        assert await works(await connect())

    run(scenario, tmp_path, connections_max=1)
    assert "turned away" in caplog.text


@pytest.mark.slow
def test_an_editor_that_does_not_read_is_disconnected(tmp_path, caplog):
    async def scenario(connect, endpoint, assistant):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        reader._transport.pause_reading()
        body = b'{"jsonrpc":"2.0","id":1,"method":"no/such/method"}'
        frame = b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        with pytest.raises(ConnectionError):
            await flood(writer, frame * 1000)
        writer.close()
        assert await works(await connect())

    run(scenario, tmp_path, write_buffer_bytes_max=100_000)
    assert "does not read" in caplog.text


def test_when_an_editor_goes_its_requests_are_withdrawn(tmp_path):
    async def scenario(connect, endpoint, assistant):
        assistant.held = True
        editor = await connect()
        await editor.initialize()
        editor.open("x = ")
        editor.ghost(0, 4)
        query = await assistant.queries.get()
        editor.writer.close()
        while not assistant.withdrawn:
            await turn()
        assert assistant.withdrawn == [query]
        assert assistant.gone == [query.session]
        assert not assistant.listeners

    run(scenario, tmp_path)


def test_nothing_that_the_user_wrote_is_logged(tmp_path, caplog):
    async def scenario(connect, endpoint, assistant):
        editor = await connect()
        await works(editor)
        editor.change("secret", (0, 4))
        editor.notify("textDocument/didChange", textDocument={"uri": 3}, contentChanges="secret")
        editor.request("textDocument/inlineCompletion", position="secret")
        await editor.ghost(0, 4)

    with caplog.at_level(logging.DEBUG):
        run(scenario, tmp_path)
    assert "secret" not in caplog.text


def test_a_bug_in_a_handler_is_logged_by_place_and_answered_with_an_error(tmp_path, caplog):
    async def scenario(connect, endpoint, assistant):
        async def broken(query):
            raise ValueError(query.prefix)

        assistant.complete = broken
        editor = await connect()
        await editor.initialize()
        editor.open("secret = ")
        with pytest.raises(AnswerError):
            await editor.ghost(0, 9)

    run(scenario, tmp_path)
    assert "in broken" in caplog.text
    assert "secret" not in caplog.text
