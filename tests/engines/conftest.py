"""What costs time to make is made once for the whole run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engines import devices, llama
from engines.engine import Engine, Receive
from engines.fake import FakeEngine
from engines.fake_knobs import Knobs
from engines.process import ProcessEngine
from engines.shelf import Shelf
from engines.spec import ModelSpec
from tests.engines.hearing import EMBEDDED
from tests.twins.make_twin import make_twin

KINDS = ("tiny", "tiny-window", "tiny-hybrid", "tiny-recurrent")
"""One twin of each kind of memory: full attention, a sliding window, hybrid, recurrent (ENGINE.md 17)."""
POOLED = ("tiny-embedding", "tiny-embedding-mean", "tiny-encoder", "tiny-encoder-mean")
"""One twin of each way to make a vector: of a decoder's last token, of all of its tokens, and of encoders."""
TWIN_CONTEXT_TOKENS = 1024
SCRIPT = "".join(f" word{n}" for n in range(1000))


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
    """Model files by name: the embedded one, a twin of each kind of memory, and of each way to make vectors."""
    folder = tmp_path_factory.mktemp("kinds")
    paths = {"embedded": EMBEDDED}
    for kind in (*KINDS, *POOLED):
        paths[kind] = folder / f"{kind}.gguf"
        make_twin(kind, "f16", paths[kind], context=TWIN_CONTEXT_TOKENS)
    return paths


@pytest.fixture
def make(request: pytest.FixtureRequest, weights: dict[str, Path]) -> Callable[..., Engine]:
    """Make the engine of the name that a test of the contract gives; all it makes share one shelf."""
    shelf = Shelf(64 * 2**20)

    def build(receive: Receive, rungs_file: Path) -> Engine:
        if request.param == "fake":
            knobs = Knobs(context_tokens=TWIN_CONTEXT_TOKENS, script=lambda _job: SCRIPT)
            return FakeEngine(receive, knobs, shelf=shelf)
        path = str(weights[request.param])
        spec = ModelSpec(request.param, path, rungs_file=str(rungs_file))
        return ProcessEngine(spec, receive, devices.build_name, shelf)

    return build
