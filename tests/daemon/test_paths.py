"""Where things are kept, and for whom."""

import stat
import sys
from pathlib import Path

import pytest

from daemon.errors import ConfigError
from daemon.paths import SOCKET_PATH_BYTES, find_home


def _home(root: Path):
    return find_home({"HEARTH_HOME": str(root)})


def test_hearth_home_moves_everything(tmp_path: Path) -> None:
    home = _home(tmp_path)
    places = (home.config_file, home.lock_file, home.log_file, home.lsp_socket, home.http_socket)
    assert all(place.is_relative_to(tmp_path) for place in places)
    assert home.config_file == tmp_path / "config.toml"
    assert home.http_socket == tmp_path / "run" / "http.sock"


def test_without_it_the_platform_decides() -> None:
    home = find_home({})
    assert "hearth" in str(home.config_file)
    assert home.config_file.is_absolute()


def test_folders_are_private(tmp_path: Path) -> None:
    home = _home(tmp_path / "new")
    home.prepare()
    for folder in (home.state, home.run):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_long_path_gets_short_sockets(tmp_path: Path) -> None:
    home = _home(tmp_path / ("x" * 120))
    home.prepare()
    assert len(bytes(home.lsp_socket)) <= SOCKET_PATH_BYTES
    assert home.lsp_socket != _home(tmp_path / ("y" * 120)).lsp_socket
    assert stat.S_IMODE(home.sockets.stat().st_mode) == 0o700
    home.sockets.rmdir()


@pytest.mark.parametrize("kind", ["a file", "read-only", "impossible"])
def test_a_home_that_cannot_be_used_is_told(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "home"
    match kind:
        case "a file":
            root.write_text("")
        case "read-only":
            root.mkdir(mode=0o500)
        case _:
            root = Path("/dev/null/home")
    with pytest.raises(ConfigError, match="HEARTH_HOME") as caught:
        _home(root).prepare()
    assert str(root) in str(caught.value)


def test_another_users_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = tmp_path.stat().st_uid
    monkeypatch.setattr("os.getuid", lambda: uid + 1)
    with pytest.raises(ConfigError, match="another user"):
        _home(tmp_path).prepare()


def test_the_quick_path_imports_nothing_heavy(hearth) -> None:
    import subprocess

    code = (
        "import sys, daemon.cli.lsp, daemon.cli.status; "
        "print(sorted({m.split('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)))"
    )
    said = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    for heavy in ("typer", "pydantic", "platformdirs", "asyncio", "fastapi", "msgspec"):
        assert f"'{heavy}'" not in said
