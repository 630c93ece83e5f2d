"""The self-test of a rung (ENGINE.md 17, 23): a build that loads is not a build that works."""

import asyncio
from pathlib import Path

import numpy as np
import psutil
import pytest

from engines import devices, ladder, selftest
from engines.engine import Loaded, Loading
from engines.llama import Context, Model
from engines.process import ProcessEngine
from engines.selftest import Abilities, SelfTestError
from engines.spec import ModelSpec
from tests.engines.hearing import EMBEDDED, Hearing
from tests.engines.native import make_context


@pytest.fixture
def context(model: Model) -> Context:
    return make_context(model, cells=256, sequences=2)


def test_it_sees_the_same_twice_and_leaves_the_cache_empty(model: Model, context: Context):
    first, second = selftest.run(model, context), selftest.run(model, context)
    assert ladder.agrees(first, second)
    assert all(np.isfinite(first.margin))
    assert len(set(first.best)) > 1
    assert selftest.probe(model, context) == Abilities(trim=True, shift=True, abort=True)
    assert [context.length(sequence) for sequence in range(2)] == [0, 0]


@pytest.mark.parametrize(
    "numbers", [[np.nan, 1.0, 2.0], [np.inf, 1.0, 2.0], [3.0, 3.0, 3.0]], ids=["nan", "inf", "same"]
)
def test_numbers_that_say_nothing_fail_it(
    model: Model, context: Context, monkeypatch: pytest.MonkeyPatch, numbers: list[float]
):
    """ENGINE.md 23: finite, non-constant logits."""
    monkeypatch.setattr(context, "logits", lambda _index: np.array(numbers, np.float32))
    with pytest.raises(SelfTestError, match="not numbers, or all the same"):
        selftest.run(model, context)


def test_a_refused_batch_fails_it(model: Model, context: Context, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(context, "decode", lambda _entries: -3)
    with pytest.raises(SelfTestError, match="-3"):
        selftest.run(model, context)


def test_a_cache_that_cannot_drop_an_end_is_found_out(
    model: Model, context: Context, monkeypatch: pytest.MonkeyPatch
):
    """ENGINE.md 17."""
    remove = context.remove
    monkeypatch.setattr(context, "remove", lambda s, at: at == 0 and remove(s, at))
    assert selftest.probe(model, context) == Abilities(trim=False, shift=False, abort=False)


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False], ids=["agrees", "disagrees"])
def test_the_ladder_is_climbed_by_one_worker_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: bool
):
    """ENGINE.md 23, 24: a rung that computes something else is not kept; nothing is in memory twice."""
    monkeypatch.setattr(ladder, "agrees", lambda _seen, _safest: right)
    # On some machines the faster kernels crash before they are compared: the safe ones stand for them here.
    monkeypatch.setattr(ladder, "rungs", lambda **_: [ladder.SAFE, ladder.SAFE])
    spec = ModelSpec("m", str(EMBEDDED), rungs_file=str(tmp_path / "rungs.json"))
    workers: list[tuple[psutil.Process, ...]] = []
    before = set(psutil.Process().children())  # of other tests, not reaped yet

    async def scene() -> None:
        hearing = Hearing()

        def receive(frame: object) -> None:
            if isinstance(frame, Loading):
                workers.append(tuple(set(psutil.Process().children()) - before))
            hearing.receive(frame)

        hearing.engine = ProcessEngine(spec, receive, devices.build_name)
        hearing.engine.load()
        assert isinstance(await hearing.loaded(), Loaded)
        assert ladder.recall(spec, devices.build_name()) == ladder.SAFE
        hearing.engine.kill()

    asyncio.run(scene())
    assert {len(pids) for pids in workers} == {1}
    assert len(set(workers)) == (2 if right else 3)
