"""The command line: each wrong input is one clear message and the right exit code, never a traceback."""

import json
import shutil
import socket
from pathlib import Path

import pytest

from daemon.config import EMBEDDED_MODEL
from daemon.lifecycle import hold_lock

pytestmark = pytest.mark.slow


def _model(path: Path) -> str:
    return f'[server]\nport = 0\n[[model]]\nname = "mine"\npath = "{path}"\n'


def _truncated(folder: Path) -> Path:
    file = folder / "cut.gguf"
    file.write_bytes(EMBEDDED_MODEL.read_bytes()[:100_000])
    return file


def _text(folder: Path) -> Path:
    file = folder / "text.gguf"
    file.write_text("this is no model")
    return file


def _empty(folder: Path) -> Path:
    file = folder / "empty.gguf"
    file.touch()
    return file


def _missing(folder: Path) -> Path:
    return folder / "missing.gguf"


def _folder(folder: Path) -> Path:
    return folder


def _told(answer, code: int, *words: str) -> None:
    """One message on standard error, and this exit code."""
    assert answer.returncode == code, answer.stderr
    assert "Traceback" not in answer.stderr + answer.stdout
    assert answer.stderr.startswith("hearth: ")
    assert answer.stderr.count("\n") == 1, answer.stderr
    for word in words:
        assert word in answer.stderr


@pytest.mark.parametrize("make", [_truncated, _text, _empty, _missing, _folder])
@pytest.mark.parametrize("flags", [(), ("--detach",)])
def test_a_model_that_is_none(hearth, tmp_path: Path, make, flags: tuple[str, ...]) -> None:
    file = make(tmp_path)
    hearth.configure(_model(file))
    _told(hearth.run("serve", *flags), 6, "mine", str(file))


def test_a_typo_in_the_configuration(hearth) -> None:
    file = hearth.configure("[server]\nprot = 1\n")
    for command in (("serve",), ("serve", "--detach"), ("models",)):
        _told(hearth.run(*command), 4, f"{file}:2", 'did you mean "port"?')


def test_a_configuration_that_is_not_there(hearth) -> None:
    _told(hearth.run("serve", "--config", "nowhere.toml"), 4, "nowhere.toml")


def test_an_occupied_port(hearth) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        hearth.configure(f"[server]\nport = {port}\n")
        _told(hearth.run("serve"), 5, str(port))
        _told(hearth.run("serve", "--detach"), 5, str(port))
        doctor = hearth.run("doctor")
    assert doctor.returncode == 5
    assert "FAIL" in doctor.stdout


def test_a_second_daemon(hearth) -> None:
    with hold_lock(hearth.home):
        _told(hearth.run("serve"), 5, "already runs")
        _told(hearth.run("serve", "--detach"), 5, "already runs")


@pytest.mark.parametrize("command", [("serve",), ("serve", "--detach"), ("lsp",)])
def test_a_read_only_state_folder(hearth, tmp_path: Path, command: tuple[str, ...]) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir(mode=0o500)
    hearth.environ["HEARTH_HOME"] = str(folder)
    _told(hearth.run(*command), 4, str(folder), "read-only")


def test_no_daemon(hearth) -> None:
    _told(hearth.run("status"), 3, "hearth serve --detach")
    _told(hearth.run("stop"), 3, "nothing to stop")


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("app.py", "FILE:LINE:COL"),
        ("app.py:x:1", "FILE:LINE:COL"),
        ("{file}:0:1", "no line 0"),
        ("{file}:9:1", "no line 9"),
        ("{file}:1:99", "no column 99"),
        ("missing.py:1:1", "no such file"),
        ("{binary}:1:1", "no UTF-8 text"),
    ],
)
def test_a_place_that_is_none(hearth, tmp_path: Path, place: str, word: str) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b.bin").write_bytes(b"\xff\xff")
    named = place.format(file=tmp_path / "a.py", binary=tmp_path / "b.bin")
    _told(hearth.run("complete", named), 2, word)


@pytest.mark.parametrize("arguments", [("frob",), ("status", "--frob"), ("complete",), ()])
def test_a_command_that_is_none(hearth, arguments: tuple[str, ...]) -> None:
    answer = hearth.run(*arguments)
    assert answer.returncode == 2
    assert "Usage: hearth" in answer.stderr + answer.stdout
    assert "Traceback" not in answer.stderr


def test_help_and_version(hearth) -> None:
    assert hearth.run("--version").stdout == "hearth 0.1.0\n"
    for command in (
        "serve",
        "stop",
        "status",
        "complete",
        "models",
        "doctor",
        "lsp",
        "explain",
        "bench",
    ):
        answer = hearth.run(command, "--help")
        assert answer.returncode == 0
        assert f"Usage: hearth {command}" in answer.stdout


def test_doctor_finds_a_broken_model(hearth, tmp_path: Path) -> None:
    hearth.configure(_model(_text(tmp_path)))
    answer = hearth.run("doctor", "--json")
    assert answer.returncode == 6
    checks = {check["name"]: check for check in json.loads(answer.stdout)["checks"]}
    assert checks["model"]["state"] == "fail"
    assert checks["model"]["remedy"]
    assert checks["llama.cpp"]["state"] == "ok"


def test_doctor_finds_settings_that_cannot_work(hearth, tmp_path: Path) -> None:
    """They are allowed, and would only be noticed when nothing comes."""
    model = tmp_path / "good.gguf"
    shutil.copy(EMBEDDED_MODEL, model)
    settings = 'kinds = ["chat"]\ncontext = 100000\n[memory]\nbudget = "1MiB"\n'
    hearth.configure(_model(model) + settings)
    answer = hearth.run("doctor", "--json")
    assert answer.returncode == 6
    said = [c["detail"] for c in json.loads(answer.stdout)["checks"] if c["state"] != "ok"]
    for word in ("budget", "trained for 1024", "chat template"):
        assert any(word in detail for detail in said), word


def test_models_are_listed_with_what_is_wrong(hearth, tmp_path: Path) -> None:
    good = tmp_path / "good.gguf"
    shutil.copy(EMBEDDED_MODEL, good)
    hearth.configure(_model(good))
    listed = json.loads(hearth.run("models", "--json").stdout)["models"]
    assert [(m["name"], m["error"]) for m in listed] == [("mine", None)]
    hearth.configure(_model(_missing(tmp_path)))
    _told(hearth.run("models"), 6, "missing.gguf")


def test_one_status_for_people_and_programs(hearth) -> None:
    hearth.start()
    document = hearth.status()
    assert document["schema_version"] == 1
    page = hearth.run("status").stdout
    assert document["models"][0]["name"] in page
    assert "\x1b" not in page, "colours are for terminals"


def test_detach_serves_until_it_is_stopped(hearth) -> None:
    answer = hearth.run("serve", "--detach")
    assert answer.returncode == 0, answer.stderr
    assert "ready: hearth-tiny" in answer.stdout
    assert {m["state"] for m in hearth.status()["models"]} == {"ready"}
    assert hearth.run("stop").returncode == 0
    _told(hearth.run("status"), 3, "no daemon")


def test_complete_starts_the_daemon_and_prints_a_completion(hearth, tmp_path: Path) -> None:
    file = tmp_path / "point.py"
    file.write_text(
        "class Point:\n    def __init__(self, x, y):\n        self.x = x\n        self.y =\n"
    )
    answer = hearth.run("complete", f"{file}:4:17", "--json")
    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    assert document["text"]
    assert document["took_ms"] > 0


def test_a_deadline(hearth, tmp_path: Path) -> None:
    hearth.start()
    (tmp_path / "a.py").write_text("import os\n")
    _told(hearth.run("complete", f"{tmp_path / 'a.py'}:1:10", "--timeout", "0"), 7, "in time")


def test_the_menu_has_an_item_too(hearth, tmp_path: Path) -> None:
    """`--popup` asks as an editor without ghost text does."""
    file = tmp_path / "a.py"
    file.write_text("class A:\n    def f(self):\n        self.value = 1\n        self.va\n")
    answer = hearth.run("complete", f"{file}:4:16", "--popup", "--json", timeout=120)
    assert answer.returncode == 0, answer.stderr
    assert "\n" not in json.loads(answer.stdout)["text"]


@pytest.mark.parametrize(
    ("place", "option", "word"),
    [
        ("/dev/zero:1:1", (), "no ordinary file"),
        (f"a.py:{'1' * 5000}:1", (), "FILE:LINE:COL"),
        ("a.py:1:1", ("--timeout", "inf"), "timeout"),
    ],
    ids=["a device", "a number without end", "a time without end"],
)
def test_what_would_never_end_is_refused(
    hearth, place: str, option: tuple[str, ...], word: str
) -> None:
    answer = hearth.run("complete", place, *option)
    assert answer.returncode == 2
    assert word in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_excluded_file_says_so(hearth, tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    file.write_text("{}\n")
    answer = hearth.run("complete", f"{file}:1:2", timeout=120)
    assert answer.returncode == 0
    assert "exclude" in answer.stderr
