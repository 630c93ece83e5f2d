"""What every end-to-end test shares: the editors, the `hearth` of this environment, a private home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from places import Editors, editors

REPOSITORY = Path(__file__).resolve().parents[2]

CONFIG = "[server]\nhttp = false\n"


def pytest_configure(config: pytest.Config) -> None:
    # pynvim leaves the pipes of a Neovim that has ended to the garbage collector.
    config.addinivalue_line("filterwarnings", "ignore::ResourceWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.e2e)


@dataclass(frozen=True, slots=True)
class Hearth:
    """One private Hearth: its program, its home and the environment that leads editors to it."""

    program: Path
    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        """The variables an editor gets: this Hearth first on the path, nothing of the user's."""
        inherited = {
            key: os.environ[key] for key in ("LANG", "LC_ALL", "TMPDIR") if key in os.environ
        }
        return {
            "TERM": "xterm-256color",
            **inherited,
            "PATH": f"{self.program.parent}:{os.environ['PATH']}",
            "HOME": str(self.home.parent),
            "HEARTH_HOME": str(self.home),
            **more,
        }


@pytest.fixture(scope="session")
def places() -> Editors:
    return editors()


@pytest.fixture(scope="session")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots and terminal captures go, to be looked at: $HEARTH_E2E_CAPTURES if set."""
    wanted = os.environ.get("HEARTH_E2E_CAPTURES")
    folder = Path(wanted) if wanted else tmp_path_factory.mktemp("captures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def require():
    """Say what is missing: a failure under `make e2e`, elsewhere a reason to skip."""

    def require(path: Path, remedy: str) -> Path:
        if not path.exists():
            reason = f"{path} is missing: {remedy}"
            if os.environ.get("HEARTH_E2E"):
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return require


@pytest.fixture(scope="session")
def hearth(require, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hearth]:
    """One daemon for all tests: the first `hearth lsp` starts it."""
    installed = os.environ.get("HEARTH_E2E_PROGRAM", Path(sys.executable).parent / "hearth")
    program = require(Path(installed), "install the project into this environment")
    # Short: a Unix socket's path has at most 107 characters.
    home = tmp_path_factory.mktemp("h") / "hearth"
    home.mkdir()
    (home / "config.toml").write_text(CONFIG)
    hearth = Hearth(program=program, home=home)
    yield hearth
    subprocess.run(
        [program, "stop"], env=hearth.environment(), capture_output=True, check=False, timeout=30
    )
    shutil.rmtree(home, ignore_errors=True)
