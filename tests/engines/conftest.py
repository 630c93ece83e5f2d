"""Where the rung that works on this machine is remembered for the whole run."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def rungs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rungs") / "rungs.json"
