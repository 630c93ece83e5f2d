"""Who is let in: rebinding, foreign pages, forms, tokens, oversize, slowness."""

import asyncio
import json
import stat

import pytest

from daemon.http.connection import Limits
from daemon.http.settings import HttpSettings
from daemon.security import host_allowed, origin_allowed, token_matches

BODY = {"prompt": "secret text"}
JSON_POST = (
    b"POST /infill HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8012",
        "localhost.",
        "127.0.0.1:1",
        "127.9.9.9",
        "[::1]:8012",
        "box.lan",
    ],
)
def test_our_own_names(host):
    assert host_allowed(host, bound="127.0.0.1", names=("Box.LAN",))


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.7",
        "[::2]",
        "::1",
    ],
)
def test_names_of_others(host):
    assert not host_allowed(host, bound="127.0.0.1", names=())


def test_the_address_a_client_reached_is_ours():
    assert host_allowed("10.0.0.7:8012", bound="10.0.0.7", names=())


def test_origins():
    assert origin_allowed("http://localhost:8012", host="localhost:8012", names=())
    assert origin_allowed("https://ide.example", host="localhost", names=("https://ide.example",))
    for origin in ("null", "https://evil.example", "http://localhost:3000", ""):
        assert not origin_allowed(origin, host="localhost:8012", names=())


def test_tokens():
    assert token_matches("Bearer abc", "abc")
    assert token_matches("bearer abc ", "abc")
    for wrong in ("", "Bearer", "Bearer ", "Bearer abd", "Basic abc", "abc", "Bearer \xff"):
        assert not token_matches(wrong, "abc")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"host": "evil.example"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_headers_decide(serving, headers, code):
    async def test(server):
        return await server.api.post("/completion", content=b'{"prompt":"x"}', headers=headers)

    headers = {"content-type": "application/json"} | headers
    answer = serving(test)
    assert answer.status_code == code
    assert "access-control-allow-origin" not in answer.headers
    if code != 200:
        assert answer.json()["error"]["code"] == code
    if code == 415:
        assert "-H 'Content-Type: application/json'" in answer.json()["error"]["message"]


def test_the_socket_asks_for_neither_host_nor_token(serving):
    async def test(server):
        bare = await server.local.post("/completion", json=BODY, headers={"host": "anything"})
        return bare, await server.api.post("/completion", json=BODY)

    local, remote = serving(test, settings=HttpSettings(token="t"))
    assert (local.status_code, remote.status_code) == (200, 401)


def test_a_token_where_one_is_set(serving):
    async def test(server):
        health = await server.api.get("/health")
        headers = {"authorization": "Bearer t"}
        return health, await server.api.post("/completion", json=BODY, headers=headers)

    assert [a.status_code for a in serving(test, settings=HttpSettings(token="t"))] == [200, 200]


def test_a_configured_page_may_read(serving):
    async def test(server):
        headers = {"origin": "https://ide.example"}
        asking = headers | {"access-control-request-method": "POST"}
        preflight = await server.api.options("/completion", headers=asking)
        return preflight, await server.api.post("/completion", json=BODY, headers=headers)

    settings = HttpSettings(allowed_origins=("https://ide.example",), token=None)
    for answer in serving(test, settings=settings):
        assert answer.is_success
        assert answer.headers["access-control-allow-origin"] == "https://ide.example"


def test_empty_bearer_as_llama_vim_sends_it(serving):
    """Versions of it up to 2026-03 send `Authorization: Bearer ` with no key."""

    async def test(server):
        return await _raw(
            server,
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \r\n"
            b"Connection: close\r\n\r\n",
        )

    assert serving(test).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("chunked", [False, True])
def test_oversize_is_413(serving, chunked):
    async def chunks():
        for _ in range(20):
            yield b"x" * 100

    async def test(server):
        content = chunks() if chunked else b"x" * 2000
        headers = {"content-type": "application/json"}
        return await server.api.post("/infill", content=content, headers=headers)

    answer = serving(test, settings=HttpSettings(body_bytes_max=1000))
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /infill HT",
        JSON_POST % 100 + b"{",
    ],
)
def test_a_request_that_never_comes_whole_is_cut_off(serving, sent, caplog):
    """And it is nothing to write a traceback about."""

    async def test(server):
        async with asyncio.timeout(5):
            answer = await _raw(server, sent)
            await server.api.get("/health")
            return answer

    assert serving(test, limits=Limits(arrival_s_max=0.02)) == b""
    assert not caplog.records


@pytest.mark.parametrize("sent", [b"secret\r\n\r\n", b"GET / HTTP/1.1\r\nx: " + b"secret" * 20_000])
def test_what_is_no_http_is_told_so(serving, sent):
    async def test(server):
        return await _raw(server, sent)

    head, _, body = serving(test).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert json.loads(body)["error"]["type"] == "invalid_request_error"
    assert b"secret" not in body


def test_the_time_limit_is_for_arriving_only(serving):
    """A request that has come may be answered late."""

    async def test(server):
        asked = asyncio.create_task(server.api.post("/completion", json=BODY))
        await server.script.until(lambda: bool(server.script.asks))
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.05, done.set_result, None)
        await done
        server.script.finish_all()
        return await asked

    answer = serving(test, limits=Limits(arrival_s_max=0.02), open=True)
    assert answer.status_code == 200


def test_the_socket_file_is_private_and_goes(serving, tmp_path):
    async def test(_server):
        return stat.S_IMODE((tmp_path / "h.sock").stat().st_mode)

    assert serving(test) == 0o600
    assert not (tmp_path / "h.sock").exists()


def test_unknown_paths_and_methods_speak_the_same_language(serving):
    async def test(server):
        return await server.api.get("/nothing"), await server.api.get("/infill")

    missing, wrong = serving(test)
    assert missing.json() == {
        "error": {"code": 404, "message": "Not Found", "type": "not_found_error"}
    }
    assert wrong.json()["error"]["code"] == 405


async def _raw(server, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.listeners.port)
    try:
        writer.write(sent)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
