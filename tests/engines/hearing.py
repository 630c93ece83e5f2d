"""A listener for one engine: awaits its frames, so that tests need neither sleep nor poll."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from engines import devices, embedded
from engines.engine import (
    Died,
    Engine,
    Frame,
    Job,
    Loaded,
    LoadFailed,
    Prepared,
    Receive,
    Stepped,
    Stopped,
    Unloaded,
)
from engines.process import ProcessEngine
from engines.spec import ModelSpec

PATIENCE_S = 60
EMBEDDED = Path(embedded.__file__).parent / "hearth-tiny-q8_0.gguf"


@dataclass
class Answer:
    """All that came of one job."""

    stopped: Stopped
    prepared: Prepared | None
    tokens: list[int]
    text: str
    steps: int


@dataclass
class Hearing:
    """Collects what an engine says."""

    frames: list[Frame] = field(default_factory=list)
    engine: Engine | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def receive(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._news.set()

    async def until(self, found: Callable[[Frame], bool], start: int = 0) -> Frame:
        """Return the first frame from `start` on for which `found` holds, waiting for it if need be."""
        async with asyncio.timeout(PATIENCE_S):
            at = start
            while True:
                while at < len(self.frames):
                    if found(self.frames[at]):
                        return self.frames[at]
                    at += 1
                self._news.clear()
                await self._news.wait()

    async def loaded(self) -> Frame:
        return await self.until(lambda f: isinstance(f, Loaded | LoadFailed | Died))

    async def stopped(self, request_id: int) -> Stopped:
        frame = await self.until(lambda f: isinstance(f, Stopped) and f.request_id == request_id)
        assert isinstance(frame, Stopped)
        return frame

    async def emitted(self, request_id: int, count: int) -> None:
        """Wait until a request has been given at least so many tokens."""
        await self.until(lambda _: len(self.answer_so_far(request_id)[0]) >= count)

    def answer_so_far(self, request_id: int) -> tuple[list[int], str, int]:
        mine = [
            e
            for f in self.frames
            if isinstance(f, Stepped)
            for e in f.emitted
            if e.request_id == request_id
        ]
        return [t for e in mine for t in e.tokens], "".join(e.text for e in mine), len(mine)

    async def ask(self, job: Job) -> Answer:
        """Submit a job and wait for its end."""
        assert self.engine is not None
        self.engine.submit(job)
        return await self.answer(job.request_id)

    async def answer(self, request_id: int) -> Answer:
        stopped = await self.stopped(request_id)
        tokens, text, steps = self.answer_so_far(request_id)
        prepared = next(
            (f for f in self.frames if isinstance(f, Prepared) and f.request_id == request_id),
            None,
        )
        return Answer(stopped, prepared, tokens, text + stopped.text, steps)


def embedded_engine(receive: Receive, rungs_file: Path, **spec: object) -> ProcessEngine:
    given = {"name": "tiny", "path": str(EMBEDDED), "rungs_file": str(rungs_file), **spec}
    return ProcessEngine(ModelSpec(**given), receive, devices.build_name)


@asynccontextmanager
async def running(make: Callable[..., Engine], rungs_file: Path, **spec: object):
    """An engine that has loaded; it is gone afterwards, whatever happens."""
    hearing = Hearing()
    hearing.engine = make(hearing.receive, rungs_file, **spec)
    hearing.engine.load()
    try:
        assert isinstance(await hearing.loaded(), Loaded), hearing.frames[-1]
        yield hearing
        hearing.engine.unload()
        await hearing.until(lambda f: isinstance(f, Unloaded | Died))
    finally:
        hearing.engine.kill()
