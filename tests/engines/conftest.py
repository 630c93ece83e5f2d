"""What costs time to make is made once for the whole run."""

from pathlib import Path

import pytest

from engines import llama
from tests.engines.hearing import EMBEDDED
from tests.twins.make_twin import make_twin

KINDS = ("tiny", "tiny-window", "tiny-hybrid", "tiny-recurrent")
"""One twin of each kind of memory: full attention, a sliding window, hybrid, recurrent (ENGINE.md 17)."""
TWIN_CONTEXT_TOKENS = 1024


@pytest.fixture(scope="session")
def rungs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the rung that works on this machine is remembered."""
    return tmp_path_factory.mktemp("rungs") / "rungs.json"


@pytest.fixture(scope="session")
def model() -> llama.Model:
    """The embedded model, in this very process and on the safest rung."""
    llama.start()
    return llama.Model(str(EMBEDDED), gpu_layers=0, extra_buffers=False)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model files by name: the embedded one, and a twin of each kind of memory."""
    folder = tmp_path_factory.mktemp("kinds")
    paths = {"embedded": EMBEDDED}
    for kind in KINDS:
        paths[kind] = folder / f"{kind}.gguf"
        make_twin(kind, "f16", paths[kind], context=TWIN_CONTEXT_TOKENS)
    return paths
