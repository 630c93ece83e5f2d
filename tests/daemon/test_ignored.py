"""What git ignores is no context (DESIGN invariant 7)."""

from pathlib import Path

import pytest

from daemon.ignored import GitIgnored


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".git" / "info").mkdir(parents=True)
    (tmp_path / ".git" / "info" / "exclude").write_text("scratch.py\n")
    (tmp_path / ".gitignore").write_text("build/\n*.local.py\n!kept.local.py\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".gitignore").write_text("/only_here.py\n!scratch.py\n")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("app.py", False),
        ("build/app.py", True),
        ("sub/build/app.py", True),
        ("secret.local.py", True),
        ("kept.local.py", False),
        ("scratch.py", True),
        ("sub/scratch.py", False),
        ("sub/only_here.py", True),
        ("only_here.py", False),
    ],
)
def test_the_deepest_rule_decides(project: Path, path: str, expected: bool) -> None:
    assert GitIgnored()(str(project / path)) is expected


def test_outside_a_repository_nothing_is_ignored(tmp_path: Path) -> None:
    assert not GitIgnored()(str(tmp_path / "app.py"))


def test_a_changed_file_is_read_again(project: Path) -> None:
    ignored = GitIgnored()
    assert not ignored(str(project / "app.py"))
    (project / ".gitignore").write_text("app.py\nand more\n")
    assert ignored(str(project / "app.py"))


def test_an_unreadable_rule_file_ignores_nothing(project: Path) -> None:
    (project / "sub" / ".gitignore").write_bytes(b"\xff\xfe\x00")
    assert not GitIgnored()(str(project / "sub" / "app.py"))
