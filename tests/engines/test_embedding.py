"""Models that make vectors, each in a worker process of its own."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from engines.engine import Died, Embed, Fim, Frame, Job, Loaded, Plain, Prepared, Stopped
from engines.ladder import SAFE
from policies.messages import Halt
from tests.engines.conftest import POOLED
from tests.engines.hearing import Hearing, embedded_engine, running
from tests.engines.native import SOURCE

pytestmark = pytest.mark.slow


def _ends(frame: Frame, request_id: int) -> bool:
    return isinstance(frame, Stopped) and frame.request_id == request_id


def play(rungs_file: Path, path: Path, scene, **spec: object) -> None:
    async def run() -> None:
        async with running(embedded_engine, rungs_file, path=str(path), **spec) as hearing:
            await scene(hearing)

    asyncio.run(run())


@pytest.mark.parametrize("shape", POOLED)
def test_it_climbs_the_ladder_and_serves(rungs_file, weights: dict[str, Path], shape: str):
    """Every rung is tested by the vectors it makes (ENGINE.md 23); then texts get theirs, and nobody gets words."""

    async def scene(hearing: Hearing) -> None:
        loaded = next(f for f in hearing.frames if isinstance(f, Loaded))
        assert (loaded.embeds, loaded.fim, loaded.chat) == (128, False, False)
        assert loaded.rung != SAFE.name, "a better rung agrees with the safest"
        for number in range(1, 7):
            hearing.engine.submit(Job(number, Embed(SOURCE[: 100 * number]), 0))
        vectors = [np.frombuffer((await hearing.stopped(n)).vector, "<f4") for n in range(1, 7)]
        assert {vector.shape for vector in vectors} == {(128,)}
        again = await hearing.ask(Job(8, Embed(SOURCE[:300]), 0))
        assert np.frombuffer(again.stopped.vector, "<f4") @ vectors[2] > 0.9999
        kinds = [type(f) for f in hearing.frames if getattr(f, "request_id", 0) == 8]
        assert kinds == [Prepared, Stopped]

    play(rungs_file, weights[shape], scene)


@pytest.mark.parametrize("shape", ["tiny-embedding", "tiny-encoder"])
def test_what_it_cannot_do_is_the_requests_own_fault(
    rungs_file, weights: dict[str, Path], shape: str
):
    """A text past the context kills an encoder, an empty one has no vector: both are told so, and the worker lives."""
    prompts = (Embed("one two " * 5000), Embed(""), Plain("x"), Fim("x", "y"))

    async def scene(hearing: Hearing) -> None:
        for number, prompt in enumerate(prompts, start=1):
            stopped = (await hearing.ask(Job(number, prompt, 4))).stopped
            assert stopped.halt == Halt.INVALID
            assert stopped.detail
            assert stopped.too_long == (number == 1)
        pid = hearing.engine.pid
        assert (await hearing.ask(Job(9, Embed("fine"), 0))).stopped.halt == Halt.DONE
        assert hearing.engine.pid == pid

    play(rungs_file, weights[shape], scene)


def test_texts_that_share_a_step_fit_into_it(rungs_file, weights: dict[str, Path]):
    """A step takes what the context was made for, also where that is less than steps usually have: the worker lives."""
    texts = {number: SOURCE[: 100 + number] for number in range(1, 5)}

    async def scene(hearing: Hearing) -> None:
        for number, text in texts.items():
            hearing.engine.submit(Job(number, Embed(text), 0))
        for number in texts:
            end = await hearing.until(lambda f, n=number: isinstance(f, Died) or _ends(f, n))
            assert isinstance(end, Stopped), end
            assert end.halt == Halt.DONE
            assert end.timings.prompt_tokens > 32, "two are more than the context"

    play(rungs_file, weights["tiny-encoder-mean"], scene, context=64)


def test_a_model_that_writes_makes_no_vectors(rungs_file, weights: dict[str, Path]):
    async def scene(hearing: Hearing) -> None:
        stopped = (await hearing.ask(Job(1, Embed("x"), 0))).stopped
        assert stopped.halt == Halt.INVALID
        assert "embedding model" in stopped.detail

    play(rungs_file, weights["embedded"], scene)
