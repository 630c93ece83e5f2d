"""What a user or a peer can get wrong is told in words, never by a traceback."""

import asyncio
import contextlib
import io
import json
import time
from pathlib import Path

import pytest

from daemon.bench.wire import hear
from daemon.cli.checks import _port
from daemon.cli.editor import Editor
from daemon.cli.lsp import run
from daemon.config import Server, load_config
from daemon.errors import ConfigError, DeadlineError, HearthError
from daemon.http.listeners import start
from daemon.ignored import GitIgnored
from daemon.journal import Journal, JournalFile
from daemon.life import Life
from daemon.paths import find_home
from policies.messages import Tick
from policies.request import Class, Kind, Request


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[model]]\nname = 'a'\npath = '~nosuchuser/a.gguf'", "no such user"),
        ("[log]\njournal = '~nosuchuser/j'", "no such user"),
        (f"[memory]\nbudget = '{'9' * 400}GiB'", "more than any machine has"),
        (f"[server]\nport = {'1' * 5000}", "not valid TOML"),
        (f"a = {'[' * 3000}{']' * 3000}", "not valid TOML"),
        (f"[limits]\njournal_max = {'9' * 30}", "10000000 or less"),
    ],
)
def test_a_configuration_past_any_measure_is_told(tmp_path: Path, text: str, words: str) -> None:
    """Whatever stands in the file: one message that names it."""
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(file)
    assert str(caught.value).startswith(str(file))


def test_a_home_of_nobody_is_told() -> None:
    """Every command reads HEARTH_HOME first."""
    with pytest.raises(ConfigError, match="HEARTH_HOME"):
        find_home({"HEARTH_HOME": "~nosuchuser/hearth"})


@pytest.mark.parametrize("address", ["127.0.0.1:²", "a..b:80", f"{'x' * 70}:80", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_told(address: str) -> None:
    """`hearth lsp --connect` is written by hand into an editor's settings."""
    with pytest.raises(HearthError):
        run(["--connect", address])


def test_a_host_that_is_none_is_told() -> None:
    """By the daemon that would listen there, and by the doctor."""
    with pytest.raises(ConfigError, match="no such address"):
        asyncio.run(start(None, host="a..b", port=0))
    assert _port(Server(host="a..b", token="t"), running=False).state == "fail"


def test_a_document_with_an_impossible_name_keeps_nobody_from_completions(tmp_path: Path) -> None:
    """`file:///x%00y` is asked about at every key in its neighbours."""
    (tmp_path / ".git").mkdir()
    assert not GitIgnored()(f"{tmp_path}/a\0b/c.py")
    assert not GitIgnored()(f"{tmp_path}/a\ud800b/c.py")


def test_a_full_disk_does_not_spoil_the_end() -> None:
    """The journal's last lines are lost then; the daemon ends as it should."""
    journal = Journal(10, JournalFile(Path("/dev/full")))
    journal.append(1.0, Tick(), [])
    journal.close()
    assert len(journal) == 1


def test_a_daemon_that_does_not_read_is_late_and_not_gone() -> None:
    """A time limit that strikes while something is sent is the same time limit: exit code 7."""

    class Stuck(io.BytesIO):
        def flush(self) -> None:
            raise TimeoutError

    with pytest.raises(DeadlineError):
        Editor(io.BytesIO(), Stuck(), name="test").notify("initialized", {})


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1", b'HTTP/1.1 200 OK\r\n\r\ndata: {"content":'])
def test_a_daemon_that_dies_fails_the_request_and_not_the_bench(
    tmp_path: Path, said: bytes
) -> None:
    """What a load hears of it is an OSError, or half an event, which is none."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(said)
        writer.close()

    async def ask() -> Life:
        request = Request(
            id=0,
            kind=Kind.CHAT,
            klass=Class.FOREGROUND,
            model="m",
            prompt_bytes=1,
            tokens_max=1,
            client="c",
        )
        life = Life(0, "m", request, time.monotonic())
        async with await asyncio.start_unix_server(serve, tmp_path / "s"):
            with contextlib.suppress(OSError):
                await hear(tmp_path / "s", request, "/completion", json.loads("{}"), life)
        return life

    assert asyncio.run(ask()).output_tokens == 0
