"""Background work and completions on one true worker: what the background keeps, and what a completion waits.

Two background jobs run for ever, one that reads long prompts and one that decodes. First nobody disturbs them, then
a completion with a fresh prompt comes every half second. The same completions on the idle worker come before both.
"""

import argparse
import asyncio
import itertools
import random
import tempfile
import time
from pathlib import Path

from engines import devices
from engines.engine import Died, Frame, Job, Loaded, LoadFailed, Plain, Sampling, Stepped, Stopped
from engines.process import ProcessEngine
from engines.spec import ModelSpec
from policies.step import URGENCY_MAX
from tests.bench.figures import spread
from tests.bench.native_engine import CELLS, SEQUENCES
from tests.bench.words import WORDS

EVERY_S = 0.5
COMPLETION_PROMPT, COMPLETION_ANSWER = 100, 8
LONG_PROMPT, LONG_ANSWER = 3000, 1000
IDLE_COMPLETIONS = 20


class Watched:
    """One worker; counts its tokens as they come and keeps no frame."""

    def __init__(self, model: Path, rungs_file: str, arguments: argparse.Namespace) -> None:
        spec = ModelSpec(
            "bench",
            str(model),
            context=CELLS,
            sequences=SEQUENCES,
            threads=arguments.threads,
            quantum_ms=arguments.quantum_ms,
            rungs_file=rungs_file,
        )
        self.engine = ProcessEngine(spec, self._receive, devices.build_name)
        self.evaluated_tokens = 0
        """Prompts' tokens and emitted ones, whosever they are."""
        self.up: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._ends: dict[int, asyncio.Future[Stopped]] = {}
        self._first_s: dict[int, float] = {}
        self._roll = random.Random(3)
        self._numbers = itertools.count(1)
        self.tokens_per_word = 1.0

    def _receive(self, frame: Frame) -> None:
        match frame:
            case Loaded() | LoadFailed() | Died():
                if self.up.done():
                    raise AssertionError(f"the worker is gone: {frame}")
                self.up.set_result(frame)
            case Stepped(emitted=emitted):
                now = time.perf_counter()
                self.evaluated_tokens += frame.prefilled_tokens + len(emitted)
                for one in emitted:
                    self._first_s.setdefault(one.request_id, now)
            case Stopped(request_id=number):
                self._ends.pop(number).set_result(frame)

    async def ask(self, prompt: int, answer: int, urgency: float) -> tuple[Stopped, float]:
        """One greedy job with a fresh prompt of about so many tokens; its end, and seconds to its first token."""
        words = self._roll.choices(WORDS, k=max(1, round(prompt / self.tokens_per_word)))
        number = next(self._numbers)
        sampling = Sampling(ignore_eos=True)
        job = Job(number, Plain(" ".join(words)), answer, sampling, urgency=urgency)
        self._ends[number] = end = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        self.engine.submit(job)
        stopped = await end
        assert not stopped.detail, stopped.detail
        return stopped, self._first_s.pop(number, began) - began

    async def complete(self) -> tuple[Stopped, float]:
        return await self.ask(COMPLETION_PROMPT, COMPLETION_ANSWER, URGENCY_MAX)

    async def for_ever(self, prompt: int, answer: int) -> None:
        """Background work: one such job after the other."""
        while True:
            await self.ask(prompt, answer, urgency=0)

    async def calibrate(self) -> None:
        """Learn how many tokens a word has in this model's vocabulary."""
        stopped, _ = await self.ask(200, 1, urgency=0)
        self.tokens_per_word = stopped.timings.prompt_tokens / 200


async def measure(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Idle, undisturbed, disturbed."""
    with tempfile.TemporaryDirectory() as folder:
        worker = Watched(arguments.model, f"{folder}/rungs.json", arguments)
        worker.engine.load()
        try:
            loaded = await worker.up
            assert isinstance(loaded, Loaded), loaded
            return await _measured(worker, arguments)
        finally:
            worker.engine.kill()


async def _measured(worker: Watched, arguments: argparse.Namespace) -> list[dict[str, object]]:
    await worker.calibrate()
    idle_ms = [1e3 * (await worker.complete())[1] for _ in range(IDLE_COMPLETIONS)]
    background = [
        asyncio.create_task(worker.for_ever(LONG_PROMPT, 1)),
        asyncio.create_task(worker.for_ever(16, LONG_ANSWER)),
    ]
    await asyncio.sleep(min(5.0, arguments.quiet_seconds))  # it finds its pace
    undisturbed = await _undisturbed_tokens_s(worker, arguments.quiet_seconds)
    disturbed, busy_ms = await _disturbed(worker, arguments.seconds)
    for task in background:
        assert not task.done(), task.exception()
        task.cancel()
    return [
        {
            "name": "background work",
            "undisturbed_tokens_s": undisturbed,
            "disturbed_tokens_s": disturbed,
            "share": disturbed / undisturbed,
        },
        {"name": "first token, idle worker", **spread(idle_ms)},
        {"name": "first token, beside background", **spread(busy_ms)},
    ]


async def _undisturbed_tokens_s(worker: Watched, lasts_s: float) -> float:
    before, began = worker.evaluated_tokens, time.perf_counter()
    await asyncio.sleep(lasts_s)
    return (worker.evaluated_tokens - before) / (time.perf_counter() - began)


async def _disturbed(worker: Watched, lasts_s: float) -> tuple[float, list[float]]:
    """Tokens a second of the background alone, and the completions' milliseconds to their first token."""
    before, began = worker.evaluated_tokens, time.perf_counter()
    completions: list[asyncio.Task[tuple[Stopped, float]]] = []
    for tick in range(max(1, int(lasts_s / EVERY_S))):
        await asyncio.sleep(max(0.0, began + tick * EVERY_S - time.perf_counter()))
        completions.append(asyncio.create_task(worker.complete()))
    ends = await asyncio.gather(*completions)
    lasted_s, evaluated = time.perf_counter() - began, worker.evaluated_tokens - before
    timings = [stopped.timings for stopped, _ in ends]
    own = sum(t.prompt_tokens - t.cached_tokens + t.emitted_tokens for t in timings)
    return (evaluated - own) / lasted_s, [1e3 * first_s for _, first_s in ends]
