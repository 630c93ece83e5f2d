"""The VS Code extension in the real editor: ghost text is seen, Tab takes it, the file is right."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import pytest
import sample
from vscode import CodeServer, drive

SETUP = "run tests/e2e/setup_editors.py vscode"


@pytest.fixture
def vscode(places, require, hearth, tmp_path: Path):
    """Packaged, installed, started; the browser comes with the drive."""
    for piece in (places.node, places.code_server, places.playwright, places.extension):
        require(piece, SETUP)
    require(Path(shutil.which("chromium") or "/usr/bin/chromium"), SETUP)
    env = hearth.environment()
    with CodeServer(places, tmp_path, program=hearth.program, env=env) as server:
        yield server


def test_tab_accepts_the_ghost_and_the_files_are_right(
    vscode: CodeServer, places, hearth, captures: Path, tmp_path: Path
) -> None:
    """All in one window, since a start costs more than a file."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    cases = {
        "test_ledger.py": (sample.BEFORE, sample.TYPED, sample.GHOST),
        "test_waage.py": (sample.NON_ASCII_BEFORE, sample.NON_ASCII_TYPED, sample.NON_ASCII_GHOST),
    }
    files = []
    for name, (before, typed, ghost) in cases.items():
        path = workspace / name
        path.write_text(before)
        expected = {"ghosts": sample.ghosts(ghost), "saved": before + typed + ghost + "\n"}
        files.append({"name": path.stem, "path": str(path), "typed": typed, **expected})
    plan = {"url": vscode.url, "captures": str(captures), "files": files}

    seen = drive(places, plan, tmp_path, env=hearth.environment())
    (captures / "vscode-seen.json").write_text(json.dumps(seen, indent=2, ensure_ascii=False))

    assert all(one["status"].startswith("Hearth ready") for one in seen)
    assert (workspace / "test_ledger.py").read_text() == sample.AFTER
    assert (workspace / "test_waage.py").read_text() == sample.NON_ASCII_AFTER
    for name in cases:
        ast.parse((workspace / name).read_text())
