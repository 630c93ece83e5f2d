"""What costs time to make is made once for the whole run."""

from pathlib import Path

import pytest

from engines import llama
from tests.engines.hearing import EMBEDDED


@pytest.fixture(scope="session")
def rungs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the rung that works on this machine is remembered."""
    return tmp_path_factory.mktemp("rungs") / "rungs.json"


@pytest.fixture(scope="session")
def model() -> llama.Model:
    """The embedded model, in this very process and on the safest rung."""
    llama.start()
    return llama.Model(str(EMBEDDED), gpu_layers=0, extra_buffers=False)
