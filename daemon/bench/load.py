"""The mixed load of one developer: editors that type, a conversation, and background work without end.

editors       ask for a completion at each key of a burst, whether the last one was answered or not, and then pause
conversation  asks, reads the answer as it is written, thinks, asks again
background    so many streams: a long text, a summary of it, the next text
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.bench.prompts import chance, code
from daemon.bench.wire import hear
from daemon.life import Life
from policies.messages import Outcome
from policies.request import PROMISE_OF, Class, Kind, Request

EDITORS = 1
"""A developer types in one place at a time; chat and background work are the rest."""
KEY_PAUSE_S = (0.15, 0.5)
KEYS = 4
"""What is typed in a burst; then an editor looks at what came, and goes on somewhere else."""
LOOK_S = (1.0, 2.5)
EDITOR_CHARS = 1_200
EDITOR_TOKENS = 16
CHAT_PAUSE_S = (0.5, 2.0)
CHAT_CHARS = 1_600
CHAT_TOKENS = 64
BACKGROUND_CHARS = 4_000
BACKGROUND_TOKENS = 96
CHARS_A_TOKEN = 2.0
"""Fewer than any model has: a prompt cut by this fits its context."""
RETRY_S = 0.2
TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class Target:
    """A model and what it can do: fill in the middle, or chat; both have another way where it cannot."""

    model: str
    able: bool
    context_tokens: int

    def fitting(self, n_chars: int, tokens_max: int) -> int:
        """So many characters, or as many as leave room for the answer."""
        return min(n_chars, int((self.context_tokens - tokens_max) * CHARS_A_TOKEN))


@dataclass(slots=True)
class Load:
    """Who asks what of the daemon behind this socket. `lives` are the requests as their senders saw them."""

    socket: Path
    typing: Target
    talking: Target
    seed: str
    lives: list[Life] = field(default_factory=list)

    async def run(self, streams: int, seconds: float, tick: Callable[[float], None]) -> None:
        """Ask for so long, beside so many streams of background work; what then still runs is cut off."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for number in range(EDITORS):
                    group.create_task(self._edit(f"editor-{number}"))
                group.create_task(self._converse("chat"))
                for number in range(streams):
                    group.create_task(self._summarise(f"background-{number}"))
                group.create_task(_ticking(tick))

    async def warm(self) -> None:
        """One short request of each sort: models are loaded and their ways known before anything is measured."""
        text = code(chance("warm"), 100)
        await self._fill_in("warm", text, text)
        await self._say("warm", Class.FOREGROUND, text, 2)
        self.lives.clear()

    async def _edit(self, name: str) -> None:
        rng = chance(self.seed, name)
        size = self.typing.fitting(EDITOR_CHARS, EDITOR_TOKENS)
        async with asyncio.TaskGroup() as asked:
            text = code(rng, size)  # one document: what stands before the cursor was read before
            cursor = size // 2
            while True:
                for _ in range(KEYS):
                    await asyncio.sleep(rng.uniform(*KEY_PAUSE_S))
                    asked.create_task(self._fill_in(name, text[:cursor], text[cursor + 20 :]))
                    cursor += rng.randint(1, 4)
                await asyncio.sleep(rng.uniform(*LOOK_S))
                cursor = size // 4 + (cursor + rng.randint(0, 40)) % (size // 2)

    async def _converse(self, name: str) -> None:
        rng = chance(self.seed, name)
        size = self.talking.fitting(CHAT_CHARS, CHAT_TOKENS)
        while True:
            text = f"What does this code do?\n{code(rng, size)}"
            await self._say(name, Class.FOREGROUND, text[:size], CHAT_TOKENS)
            await asyncio.sleep(rng.uniform(*CHAT_PAUSE_S))

    async def _summarise(self, name: str) -> None:
        rng = chance(self.seed, name)
        size = self.talking.fitting(BACKGROUND_CHARS, BACKGROUND_TOKENS)
        while True:
            text = f"Summarise this code.\n{code(rng, size)}"
            await self._say(name, Class.BACKGROUND, text[:size], BACKGROUND_TOKENS)

    async def _fill_in(self, name: str, before: str, after: str) -> None:
        target = self.typing
        wanted = {"input_prefix": before, "input_suffix": after}
        body: dict[str, Any] = wanted if target.able else {"prompt": before}
        path = "/infill" if target.able else "/completion"
        body |= {"n_predict": EDITOR_TOKENS}
        size = len(before) + len(after) * target.able
        request = _request(name, Class.INTERACTIVE, target.model, size, EDITOR_TOKENS)
        await self._ask(request, path, body)

    async def _say(self, name: str, klass: Class, text: str, tokens_max: int) -> None:
        target = self.talking
        if target.able:
            path, body = "/v1/chat/completions", _conversation(text)
        else:
            path, body = "/completion", {"prompt": text}
        request = _request(name, klass, target.model, len(text), tokens_max)
        await self._ask(request, path, body | {"n_predict": tokens_max})

    async def _ask(self, request: Request, path: str, body: dict[str, Any]) -> None:
        """Ask once. Answers are as long as they may be, so that two policies have the same to do."""
        body |= {"model": request.model, "stream": True, "ignore_eos": True, "temperature": 0}
        life = Life(len(self.lives), request.model, request, time.monotonic())
        self.lives.append(life)
        with contextlib.suppress(OSError):
            await hear(self.socket, request, path, body, life)
        if life.outcome is None or life.outcome is Outcome.FAILED:
            life.ended_s, life.outcome = time.monotonic(), Outcome.FAILED
            await asyncio.sleep(RETRY_S)


async def _ticking(tick: Callable[[float], None]) -> None:
    began_s = time.monotonic()
    while True:
        tick(time.monotonic() - began_s)
        await asyncio.sleep(TICK_S)


def _conversation(text: str) -> dict[str, Any]:
    turn = {"role": "user", "content": text}
    return {"messages": [turn], "stream_options": {"include_usage": True}}


def _request(name: str, klass: Class, model: str, n_chars: int, tokens_max: int) -> Request:
    kinds = {Class.INTERACTIVE: Kind.COMPLETE, Class.FOREGROUND: Kind.CHAT}
    return Request(
        id=0,
        kind=kinds.get(klass, Kind.SUMMARISE),
        klass=klass,
        model=model,
        prompt_bytes=n_chars,
        tokens_max=tokens_max,
        client=f"hearth-bench-{name}",
        promise=PROMISE_OF[klass],
    )
