"""The configuration: defaults, and one message for each mistake that names the file, the key and the remedy."""

from pathlib import Path

import pytest

from daemon.config import EMBEDDED_NAME, Config, is_loopback, load_config, parse_size
from daemon.errors import ConfigError


@pytest.fixture
def write(tmp_path: Path):
    def _write(text: str) -> Path:
        file = tmp_path / "config.toml"
        file.write_text(text)
        return file

    return _write


def test_everything_has_a_default(tmp_path: Path) -> None:
    config = load_config(tmp_path / "absent.toml")
    assert config == Config()
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8012)
    assert [model.name for model in config.models] == [EMBEDDED_NAME]
    assert config.models[0].path.exists()


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "absent.toml", required=True)


def test_a_whole_file(write, tmp_path: Path) -> None:
    config = load_config(
        write(
            """
            [server]
            port = 0
            [[model]]
            name = "coder"
            path = "models/coder.gguf"
            kinds = ["complete", "chat"]
            languages = ["python"]
            context = 4096
            sequences = 8
            kv_type = "q8_0"
            gpu_layers = "auto"
            threads = 2
            quantum_ms = 25
            reuse_shifted = false
            pin = true
            [memory]
            budget = "8GiB"
            parked = "1GiB"
            """
        )
    )
    (model,) = config.models
    assert model.path == tmp_path / "models" / "coder.gguf", "relative to the file itself"
    assert model.gpu_layers is None
    assert model.pin
    assert (model.quantum_ms, model.reuse_shifted) == (25.0, False)
    assert config.memory.parked == 2**30
    assert config.memory.budget == 8 * 2**30


def test_home_is_expanded(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    config = load_config(write('[[model]]\nname = "a"\npath = "~/a.gguf"'))
    assert config.models[0].path == Path("/somewhere/a.gguf")


def test_the_journal_is_placed_as_models_are(
    write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon in the background has another working folder than who wrote the path."""
    monkeypatch.setenv("HOME", "/somewhere")
    assert load_config(write('[log]\njournal = "~/j.jsonl"')).log.journal == Path(
        "/somewhere/j.jsonl"
    )
    assert load_config(write('[log]\njournal = "j.jsonl"')).log.journal == tmp_path / "j.jsonl"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\nprot = 1", [":2:", "[server] prot", 'did you mean "port"?']),
        ("[sever]\nport = 1", [":1:", 'did you mean "server"?']),
        ("[server]\nport = 'x'", [":2:", "[server] port", "whole number", "'x'"]),
        ("[server]\nport = 70000", ["[server] port", "65535 or less"]),
        ("[server]\nhost = '0.0.0.0'", ["open to the network", "token"]),
        ("[memory]\nbudget = 'lots'", ["[memory] budget", '"8GiB"']),
        ("[memory]\nparked = 0", ["[memory] parked", "more than 0"]),
        ("[scheduling]\npolicy = 'fifo'", [":2:", "[scheduling] policy", "'fcfs'"]),
        ("[scheduling]\ncap = 0", ["[scheduling] cap", "1 or more"]),
        ("[[model]]\nname='a'\npath='a'\nquantum_ms=0", [":4:", "quantum_ms"]),
        ("[[model]]\nname = 'a'", [":1:", "[[model]] 1, path", "is missing"]),
        ("[[model]]\nname='a'\npath='a'\nkinds=['compleet']", [":4:", "kinds", "'complete'"]),
        ("[[model]]\nname='a'\npath='a'\n[[model]]\nname='a'\npath='b'", ['named "a"']),
        ("[[model]]\nname='a'\npath='a'\n[[model]]\nname='b'\npth='b'", [":6:", '"path"?']),
        ("[server\n", ["not valid TOML", "line 1"]),
        ("model = 3", ["model"]),
    ],
)
def test_a_mistake_is_told_in_words(write, text: str, words: list[str]) -> None:
    file = write(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    message = str(caught.value)
    assert message.startswith(str(file))
    assert "pydantic" not in message
    for word in words:
        assert word in message


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "config.toml")


def test_an_open_host_is_allowed_with_a_token(write) -> None:
    config = load_config(write('[server]\nhost = "0.0.0.0"\ntoken = "long and random"'))
    assert config.server.host == "0.0.0.0"


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("8GiB", 8 * 2**30), ("500MB", 500_000_000), ("1.5 gib", 3 * 2**29), ("1024", 1024)],
)
def test_sizes(text: str, n_bytes: int) -> None:
    assert parse_size(text) == n_bytes


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.org", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().server.port = 1
