"""A worker process that is loaded again whenever it has died or hung, and how long it took over each job."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from engines.engine import Died, Frame, Job, Loaded, LoadFailed, Prepared, Stepped, Stopped
from engines.process import ProcessEngine
from policies.messages import Halt
from tests.engines.hearing import embedded_engine

PATIENCE_S = 30.0
"""For a whole job among others; over it the worker hangs."""


@dataclass
class Heard:
    """What a worker has said of one job."""

    sent_s: float
    over: asyncio.Future[Stopped | None]
    """None: the worker has died."""
    intake_s: float | None = None
    step_s: float = 0.0


class Worker:
    """A ProcessEngine that is loaded again whenever it has died or hung."""

    def __init__(self, rungs_file: Path) -> None:
        self._rungs_file = rungs_file
        self._engine: ProcessEngine | None = None
        self._jobs: dict[int, Heard] = {}
        self._taken_s = 0.0
        """When intake finished its latest job."""
        self._ready = asyncio.Lock()
        self.lost: list[str] = []
        """How it died or hung, each time."""
        self.rss_bytes_max = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._kill()

    async def ask(self, job: Job) -> tuple[Heard, Stopped | str]:
        """Submit a job; return its end, or "hung", or what the worker died with."""
        async with self._ready:
            if self._engine is None:
                await self._load()
        assert self._engine
        heard = self._jobs[job.request_id] = Heard(
            time.monotonic(), asyncio.get_running_loop().create_future()
        )
        try:
            self._engine.submit(job)
            async with asyncio.timeout(PATIENCE_S):
                stopped = await heard.over
        except TimeoutError:
            self.lost.append("hung")
            self._kill()
            return heard, "hung"
        except Exception as error:  # noqa: BLE001 -- in the daemon it would have no one to catch it
            refusal = f"submit raised {type(error).__name__}: {error}"
            return heard, Stopped(job.request_id, Halt.FAILED, detail=refusal)
        finally:
            self._jobs.pop(job.request_id, None)
        return heard, stopped or self.lost[-1]

    async def _load(self) -> None:
        loaded = asyncio.get_running_loop().create_future()

        def receive(frame: Frame) -> None:
            if isinstance(frame, Loaded | LoadFailed | Died) and not loaded.done():
                loaded.set_result(frame)
            elif self._engine is engine:
                self._receive(frame)

        engine = embedded_engine(receive, self._rungs_file, context=1024)
        self._engine = engine
        engine.load()
        assert isinstance(await loaded, Loaded), loaded.result()

    def _receive(self, frame: Frame) -> None:
        match frame:
            case Prepared(request_id=taken):
                self._took(taken)
            case Stepped(emitted=emitted, duration_s=lasted):
                for heard in filter(None, (self._jobs.get(e.request_id) for e in emitted)):
                    heard.step_s = max(heard.step_s, lasted)
            case Stopped(request_id=over):
                self._took(over)
                if (heard := self._jobs.get(over)) and not heard.over.done():
                    heard.over.set_result(frame)
                self._weigh()
            case Died(detail=detail):
                self.lost.append(detail)
                self._kill()

    def _took(self, request_id: int) -> None:
        """Intake is one thread: its time for a job counts from the end of the job before."""
        heard, now = self._jobs.get(request_id), time.monotonic()
        if heard and heard.intake_s is None:
            heard.intake_s = now - max(heard.sent_s, self._taken_s)
            self._taken_s = now

    def _weigh(self) -> None:
        with contextlib.suppress(psutil.Error):
            if self._engine and self._engine.pid:
                rss = psutil.Process(self._engine.pid).memory_info().rss
                self.rss_bytes_max = max(self.rss_bytes_max, rss)

    def _kill(self) -> None:
        if self._engine:
            self._engine.kill()
        self._engine = None
        for heard in self._jobs.values():
            if not heard.over.done():
                heard.over.set_result(None)
