"""Scenes with a worker process: with one that has loaded, and with one that has not been told to."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from engines import devices
from engines.engine import (
    Died,
    Frame,
    Loaded,
    LoadFailed,
    Unloaded,
)
from engines.process import ProcessEngine
from engines.spec import ModelSpec
from tests.engines.hearing import EMBEDDED, Hearing, embedded_engine, running

ENDS = Loaded | LoadFailed | Died | Unloaded


def play(rungs_file: Path, scene, **spec: object) -> None:
    """Run a scene with a loaded engine."""

    async def run() -> None:
        async with running(embedded_engine, rungs_file, **spec) as hearing:
            await scene(hearing)

    asyncio.run(run())


def play_load(
    rungs_file: Path, scene, *, build: Callable[[], str] = devices.build_name, **spec: object
) -> None:
    """Run a scene with an engine that has not been told to load."""

    async def run() -> None:
        hearing = Hearing()
        given = {"name": "m", "path": str(EMBEDDED), "rungs_file": str(rungs_file), **spec}
        hearing.engine = ProcessEngine(ModelSpec(**given), hearing.receive, build)
        try:
            await scene(hearing)
        finally:
            hearing.engine.kill()

    asyncio.run(run())


def is_over(frame: Frame) -> bool:
    return isinstance(frame, ENDS)
