"""The rung that works on this machine is found once, and remembered (ENGINE.md 23)."""

import json
from pathlib import Path

import msgspec
import pytest

from engines import ladder
from engines.ladder import CPU, GPU, SAFE
from engines.spec import ModelSpec
from engines.wire import Tested as Saw


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    weights = tmp_path / "m.gguf"
    weights.write_bytes(b"weights")
    return ModelSpec("m", str(weights), rungs_file=str(tmp_path / "state" / "rungs.json"))


def test_the_safest_rung_is_the_last():
    assert ladder.rungs(gpu_build=True, gpu_layers=None) == [GPU, CPU, SAFE]
    assert ladder.rungs(gpu_build=True, gpu_layers=0) == [CPU, SAFE]
    assert ladder.rungs(gpu_build=False, gpu_layers=20) == [CPU, SAFE]
    assert (GPU.gpu_layers(None), GPU.gpu_layers(7), CPU.gpu_layers(7)) == (ladder.ALL_LAYERS, 7, 0)


def test_a_rung_agrees_when_it_sees_the_same_tokens_close_calls_aside():
    """ENGINE.md 23: argmax equal to that of the safest rung; two right kernels may differ in a close call."""
    safest = Saw((5, 6, 7), (2.0, 0.01, 3.0))
    assert ladder.agrees(safest, safest)
    assert ladder.agrees(Saw((5, 9, 7), (1.0, 0.01, 1.0)), safest)
    assert not ladder.agrees(Saw((5, 6, 8), (1.0, 0.01, 0.001)), safest)
    assert not ladder.agrees(Saw((5, 6), (2.0, 0.01)), safest)
    assert not ladder.agrees(Saw((), ()), Saw((), ()))


def test_a_rung_agrees_when_it_makes_the_same_vectors():
    """ENGINE.md 23 for models that write nothing: two right kernels differ in rounding, not in direction."""
    safest = Saw(vectors=((0.6, 0.8), (1.0, 0.0)))
    assert ladder.agrees(Saw(vectors=((0.61, 0.79), (1.0, 0.01))), safest)
    assert not ladder.agrees(Saw(vectors=((0.6, 0.8), (0.0, 1.0))), safest)
    assert not ladder.agrees(Saw(vectors=((0.6, 0.8),)), safest)
    assert not ladder.agrees(Saw((5,), (1.0,)), safest)


def test_a_rung_is_remembered_and_forgotten(spec: ModelSpec):
    assert ladder.recall(spec, "build") is None
    ladder.remember(spec, "build", CPU)
    assert ladder.recall(spec, "build") == CPU
    ladder.forget(spec, "build")
    assert ladder.recall(spec, "build") is None


def test_whatever_could_change_the_answer_asks_again(spec: ModelSpec):
    """Keyed by file, build, processor and the modes that are used."""
    ladder.remember(spec, "build", CPU)
    assert ladder.recall(spec, "another build") is None
    for changed in ({"kv_type": "q8_0"}, {"gpu_layers": 3}):
        assert ladder.recall(msgspec.structs.replace(spec, **changed), "build") is None
    assert ladder.recall(msgspec.structs.replace(spec, name="n", threads=1), "build") == CPU
    Path(spec.path).write_bytes(b"other weights")
    assert ladder.recall(spec, "build") is None


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'{"a": 1}', b"\xff\xfe", b'{"a": "b"}'])
def test_a_damaged_memory_is_no_memory(spec: ModelSpec, text: bytes):
    Path(spec.rungs_file).parent.mkdir()
    Path(spec.rungs_file).write_bytes(text)
    assert ladder.recall(spec, "build") is None
    ladder.forget(spec, "build")
    ladder.remember(spec, "build", SAFE)
    assert ladder.recall(spec, "build") == SAFE


def test_a_rung_that_no_longer_exists_is_not_recalled(spec: ModelSpec):
    ladder.remember(spec, "build", CPU)
    path = Path(spec.rungs_file)
    path.write_text(json.dumps(dict.fromkeys(json.loads(path.read_text()), "rung of old")))
    assert ladder.recall(spec, "build") is None


def test_a_place_that_cannot_be_written_costs_only_another_self_test(spec: ModelSpec):
    blocked = msgspec.structs.replace(spec, rungs_file=str(Path(spec.path) / "rungs.json"))
    ladder.remember(blocked, "build", CPU)
    assert ladder.recall(blocked, "build") is None
    nowhere = msgspec.structs.replace(spec, rungs_file="")
    ladder.remember(nowhere, "build", CPU)
    assert ladder.recall(nowhere, "build") is None


def test_the_memory_is_bounded_and_leaves_no_scraps(spec: ModelSpec):
    path = Path(spec.rungs_file)
    path.parent.mkdir()
    path.write_text(json.dumps({str(n): "cpu" for n in range(2 * ladder.REMEMBERED_MAX)}))
    ladder.remember(spec, "build", CPU)
    assert len(json.loads(path.read_text())) == ladder.REMEMBERED_MAX
    assert ladder.recall(spec, "build") == CPU
    assert [p.name for p in path.parent.iterdir()] == ["rungs.json"]
