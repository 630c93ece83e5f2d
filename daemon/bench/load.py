"""The mixed load of one developer: editors that type, a conversation, and background work without end.

editors       ask for a completion at each key of a burst, whether the last one was answered or not, and then pause
conversation  asks, reads the answer as it is written, thinks, asks again
background    so many streams: a long text, a summary of it, the next text
"""

from __future__ import annotations

import asyncio
import contextlib
import random
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
EDITOR_CHARS = 350
"""About a hundred tokens, most of them read at an earlier key. This and what follows is little enough for half a billion
parameters on two cores, which answer such a completion in about 0.27 s and begin such a chat in about 0.7 s beside no
background: where every promise is broken at once, policies do not matter."""
CURSOR_SHARES = (0.5, 0.8)
"""Where in its text an editor types: what stands before the cursor was read before, what stands behind it moves."""
EDITOR_TOKENS = 8
CHAT_PAUSE_S = (0.5, 2.0)
CHAT_CHARS = 600
CHAT_TOKENS = 48
BACKGROUND_CHARS = 1_600
BACKGROUND_TOKENS = 64
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
    tokens_a_byte: dict[Class, float] = field(default_factory=dict)
    """Of prompts of each sort, learnt while warming up: of one that is cut off nobody says how long it was."""

    async def run(self, streams: int, seconds: float, tick: Callable[[float], None]) -> None:
        """Ask for so long, beside so many streams of background work; what then still runs is cut off."""
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for number in range(EDITORS):
                    group.create_task(self._edit(f"editor-{number}"))
                group.create_task(self._converse("chat"))
                for number in range(streams):
                    group.create_task(self._summarise(f"background-{number}"))
                group.create_task(_ticking(tick))
        except TimeoutError:
            pass
        finally:
            self._cut_off(time.monotonic())

    async def warm(self) -> None:
        """One request of each sort: models are loaded and their ways known before anything is measured."""
        rng = chance("warm")
        text = code(rng, self._editor_chars())
        await self._fill_in("warm", text, text[: len(text) // 4])
        await self._say("warm", Class.FOREGROUND, self._question(rng), 2)
        await self._say("warm", Class.BACKGROUND, self._long_text(rng), 2)
        self.tokens_a_byte = {
            life.request.klass: life.prompt_tokens / life.request.prompt_bytes
            for life in self.lives
            if life.request and life.prompt_tokens is not None
        }
        self.lives.clear()

    def _cut_off(self, now: float) -> None:
        """Nobody waits any more. Who has waited too long by now was broken a promise all the same."""
        for life in self.lives:
            if life.outcome is None:
                life.ended_s, life.outcome = now, Outcome.CANCELLED

    async def _edit(self, name: str) -> None:
        rng = chance(self.seed, name)
        size = self._editor_chars()
        first, last = (int(share * size) for share in CURSOR_SHARES)
        async with asyncio.TaskGroup() as asked:
            text = code(rng, size)
            while True:
                cursor = rng.randint(first, last)
                for _ in range(KEYS):
                    await asyncio.sleep(rng.uniform(*KEY_PAUSE_S))
                    asked.create_task(self._fill_in(name, text[:cursor], text[last:]))
                    cursor += rng.randint(1, 4)
                await asyncio.sleep(rng.uniform(*LOOK_S))

    async def _converse(self, name: str) -> None:
        rng = chance(self.seed, name)
        while True:
            await self._say(name, Class.FOREGROUND, self._question(rng), CHAT_TOKENS)
            await asyncio.sleep(rng.uniform(*CHAT_PAUSE_S))

    async def _summarise(self, name: str) -> None:
        rng = chance(self.seed, name)
        while True:
            await self._say(name, Class.BACKGROUND, self._long_text(rng), BACKGROUND_TOKENS)

    def _editor_chars(self) -> int:
        return self.typing.fitting(EDITOR_CHARS, EDITOR_TOKENS)

    def _question(self, rng: random.Random) -> str:
        size = self.talking.fitting(CHAT_CHARS, CHAT_TOKENS)
        return f"What does this code do?\n{code(rng, size)}"[:size]

    def _long_text(self, rng: random.Random) -> str:
        size = self.talking.fitting(BACKGROUND_CHARS, BACKGROUND_TOKENS)
        return f"Summarise this code.\n{code(rng, size)}"[:size]

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
        if (ratio := self.tokens_a_byte.get(request.klass)) is not None:
            life.prompt_tokens = round(ratio * request.prompt_bytes)
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
