"""The pump as its own process, between a pipe and a socket."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

PROGRAM = """
import socket, sys
from lsp.pump import pump
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
sys.exit(pump(connection))
"""
IMPORTED = """
import sys
before = set(sys.modules)
import lsp.pump
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
WAIT_S = 20


@contextmanager
def pumping(path):
    """The process, the connection it made, and the listener."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(WAIT_S)
        listener.bind(path)
        listener.listen()
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(WAIT_S)
                yield process, connection, listener


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s")


def receive(connection, size):
    data = b""
    while len(data) < size and (chunk := connection.recv(1 << 16)):
        data += chunk
    return data


@pytest.mark.slow
def test_bytes_go_both_ways_and_the_end_of_stdin_is_a_half_close(path):
    with pumping(path) as (process, connection, _):
        process.stdin.write(b"question")
        process.stdin.close()
        assert receive(connection, 100) == b"question"  # it ends: the socket was half closed
        connection.sendall(b"answer\x00\xff")
        connection.close()
        assert process.stdout.read() == b"answer\x00\xff"
        assert process.wait(WAIT_S) == 0
        assert process.stderr.read() == b""


@pytest.mark.slow
def test_more_than_any_buffer_holds_arrives_whole(path):
    block = bytes(range(256)) * 16_384
    with pumping(path) as (process, connection, _):
        process.stdin.write(b"x")
        process.stdin.flush()
        assert receive(connection, 1) == b"x"
        sender = threading.Thread(target=connection.sendall, args=(block,))
        sender.start()
        assert process.stdout.read(len(block)) == block
        sender.join()
        process.stdin.close()
        connection.close()
        assert process.wait(WAIT_S) == 0


@pytest.mark.slow
def test_an_end_by_a_living_daemon_is_well(path):
    with pumping(path) as (process, connection, _):
        connection.close()
        assert process.wait(WAIT_S) == 0


@pytest.mark.slow
def test_an_end_by_a_dead_daemon_is_told(path):
    with pumping(path) as (process, connection, listener):
        listener.close()
        connection.close()
        assert process.wait(WAIT_S) == 3
        assert b"the daemon is gone" in process.stderr.read()


@pytest.mark.slow
def test_an_editor_that_closes_its_end_ends_the_pump(path):
    with pumping(path) as (process, connection, _):
        process.stdout.close()
        connection.sendall(b"answer")
        assert process.wait(WAIT_S) == 0


@pytest.mark.slow
def test_it_imports_nothing_but_the_standard_library():
    out = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    )
    names = set(out.stdout.split())
    assert names - set(sys.stdlib_module_names) <= {"lsp"}
    assert not names & {"asyncio", "json", "logging", "subprocess"}
