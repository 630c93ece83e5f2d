"""What people see: aligned, with colours on a terminal alone."""

import pytest

from daemon.cli import show


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    assert show.colour("x", "red") == "x"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert show.colour("x", "red") == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert show.colour("x", "red") == "x"


def test_a_table_is_aligned_whatever_its_colours() -> None:
    rows = [["name", "n"], ["\x1b[31mab\x1b[0m", "1"], ["abcdef", "2"]]
    assert show.table(rows, indent=0) == "name    n\n\x1b[31mab\x1b[0m      1\nabcdef  2"


@pytest.mark.parametrize(
    ("n_bytes", "text"), [(None, "-"), (5, "5 B"), (2**20, "1 MiB"), (3 * 2**29, "1.5 GiB")]
)
def test_sizes(n_bytes: int | None, text: str) -> None:
    assert show.size(n_bytes) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (90, "1 min"), (7300, "2 h 1 min")])
def test_durations(seconds: float, text: str) -> None:
    assert show.duration(seconds) == text


def test_milliseconds() -> None:
    assert [show.milliseconds(v) for v in (None, 1.25, 300.4)] == ["-", "1.2 ms", "300 ms"]
