"""The load of an editor beside work in the background: streams that always run, and a completion every so often.

Completions come on time whether or not the last one was answered: where they are slow, several wait at once. None
replaces another, as each has a connection and a prompt of its own and /completion knows no place in a document.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.bench.mixed_counting import Exchange, Window
from tests.bench.peer_server import Server, fresh

STREAM_WORDS = 300
STREAM_TOKENS = 200
COMPLETION_WORDS = 100
COMPLETION_TOKENS = 8
EVERY_S = 1.5
"""Between two completions."""
AHEAD_S = 4.0
"""How long streams run before the first completion."""
SETTLE_S = 1.0
"""After all was cut: a server notices it with the next token that it wants to send."""
AFTER_ERROR_S = 1.0


@dataclass(frozen=True)
class Target:
    """A server, and which of its models; an empty name where it has one."""

    server: Server
    model: str = ""

    def ask(self, prompt: str, into: Exchange, klass: str) -> Coroutine[Any, Any, None]:
        return self.server.exchange(prompt, into, klass=klass, model=self.model)


@dataclass
class Streams:
    """So many streams, each one answer after the other. The first answers are of different lengths.

    Else all would be evaluated at the same time and then decode at the same time, again and again, and what a window
    counts would depend on where it ends.
    """

    target: Target
    count: int
    seed: int
    klass: str = "background"
    exchanges: list[Exchange] = field(default_factory=list)
    """All requests so far."""

    async def run(self, number: int) -> None:
        """One of the streams, until it is cancelled."""
        roll = random.Random(f"{self.seed} {number}")
        for turn in itertools.count():
            tokens = STREAM_TOKENS if turn else max(1, STREAM_TOKENS * (number + 1) // self.count)
            exchange = Exchange(tokens)
            self.exchanges.append(exchange)
            await self.target.ask(fresh(STREAM_WORDS, roll), exchange, self.klass)
            if exchange.error:
                await asyncio.sleep(AFTER_ERROR_S)


class Typist:
    """Completions on time."""

    def __init__(self, target: Target, seed: int) -> None:
        self._target = target
        self._roll = random.Random(f"{seed} typist")
        self._asked: list[asyncio.Task[None]] = []
        self.exchanges: list[Exchange] = []

    async def type(self, seconds: float) -> None:
        """Ask for one every `EVERY_S`, without waiting for answers."""
        begun = time.perf_counter()
        for number in range(round(seconds / EVERY_S)):
            await asyncio.sleep(begun + number * EVERY_S - time.perf_counter())
            exchange = Exchange(COMPLETION_TOKENS, sent_s=time.perf_counter())
            self.exchanges.append(exchange)
            ask = self._target.ask(fresh(COMPLETION_WORDS, self._roll), exchange, "interactive")
            self._asked.append(asyncio.create_task(ask))
        await asyncio.sleep(begun + seconds - time.perf_counter())

    async def answered(self, patience_s: float) -> None:
        """Wait for what is under way, but no longer than that; then give up the rest."""
        if self._asked:
            await asyncio.wait(self._asked, timeout=patience_s)
        await cut(self._asked)


async def measure(streams: Streams, typing: Target, *, seconds: float, patience_s: float) -> Window:
    """The load for so many seconds. The streams go on while completions that came in the window are waited for."""
    tasks = [asyncio.create_task(streams.run(number)) for number in range(streams.count)]
    await asyncio.sleep(AHEAD_S if tasks else 0)
    typist = Typist(typing, streams.seed)
    begin_s = time.perf_counter()
    await typist.type(seconds)
    end_s = time.perf_counter()
    await typist.answered(patience_s)
    cut_s = time.perf_counter()
    await cut(tasks)
    await asyncio.sleep(SETTLE_S)
    for target in (streams.target, typing):
        await target.server.warm(target.model)
    return Window(begin_s, end_s, cut_s, streams.exchanges, typist.exchanges)


async def cut(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel what still runs; what failed before is raised."""
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result
