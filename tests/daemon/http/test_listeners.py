"""Listening: occupied ports, stale sockets, names that do not resolve."""

import asyncio
import signal
import socket

import httpx
import pytest
from fastapi import FastAPI

from daemon.errors import BusyError, ConfigError
from daemon.http.listeners import start


def listening(**where):
    async def body():
        listeners = await start(FastAPI(), **where)
        await listeners.close()
        return listeners.port

    return asyncio.run(body())


def test_port_zero_is_told():
    assert listening(port=0) > 0


def test_answers_are_not_held_back_by_nagle():
    """asyncio sets TCP_NODELAY only on sockets that name their protocol: without, each answer is 40 ms late."""

    async def body():
        no_delay = []
        app = FastAPI()

        @app.get("/")
        async def look():
            (connection,) = listeners._server.server_state.connections
            server_side = connection.transport.get_extra_info("socket")
            no_delay.append(server_side.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        listeners = await start(app, port=0)
        async with httpx.AsyncClient(verify=False) as client:
            await client.get(f"http://127.0.0.1:{listeners.port}/")
        await listeners.close()
        return no_delay

    assert asyncio.run(body()) == [1]


def test_an_occupied_port_names_the_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BusyError, match=f"127.0.0.1:{port} is taken.*set another `port`"):
            listening(port=port)


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        with pytest.raises(BusyError, match="another process answers"):
            listening(uds=path)
    listening(uds=path)
    assert not path.exists()


def test_a_file_in_the_way_is_left_alone(tmp_path):
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(BusyError, match="no socket"):
        listening(uds=path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("host", ["no such host", "203.0.113.1"])
def test_a_host_that_is_not_here(host):
    with pytest.raises(ConfigError, match="cannot listen on"):
        listening(host=host, port=0)


def test_a_path_too_long_for_a_socket_says_so(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot listen on .*: AF_UNIX path too long"):
        listening(uds=tmp_path / ("x" * 120))


def test_a_busy_socket_gives_the_port_back(tmp_path):
    path = tmp_path / "s"
    path.write_text("")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(BusyError):
        listening(port=port, uds=path)
    assert listening(port=port) == port


def test_signals_stay_the_daemons():
    """ENGINE.md 29: uvicorn would take them."""
    before = signal.getsignal(signal.SIGTERM)

    async def body():
        listeners = await start(FastAPI(), port=0)
        during = signal.getsignal(signal.SIGTERM)
        await listeners.close()
        return during

    assert asyncio.run(body()) is before
