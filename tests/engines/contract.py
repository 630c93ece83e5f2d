"""What the tests of the contract share: the engines it binds, and a scene with one of them."""

import asyncio
from collections.abc import Callable

import pytest

from engines.engine import Engine, Loaded, Sampling
from tests.engines.conftest import KINDS
from tests.engines.hearing import Hearing, running

LONG = "def total(items):\n    result = 0\n    for item in items:\n        result += item\n    return result\n"

REAL = ("embedded", *KINDS)
engines = pytest.mark.parametrize("make", [*REAL, "fake"], indirect=True)
real_engines = pytest.mark.parametrize("make", REAL, indirect=True)
ON = Sampling(ignore_eos=True)
"""A twin writes noise, and noise may end anywhere: where a test needs more tokens, it goes on."""


def trims(hearing: Hearing) -> bool:
    """Whether it can use a part of what a sequence holds (ENGINE.md 17)."""
    return next(f for f in hearing.frames if isinstance(f, Loaded)).can_trim


def play(make: Callable[..., Engine], rungs_file, scene) -> None:
    """Run a scene with a loaded engine."""

    async def run() -> None:
        async with running(make, rungs_file) as hearing:
            await scene(hearing)

    asyncio.run(run())
