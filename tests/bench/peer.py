"""Hearth beside llama-server of the same llama.cpp source: decode speed and time to first token, in turns.

Both serve the same file over HTTP with the same threads, sub-batch, cache and kernels (`--no-repack` there, the
rung that our self-test chose here). Every figure is the ratio of interleaved pairs with its 95 % interval.

With `--mixed` it is the first token of fresh prompts while other requests decode, and nothing else.

    python -m tests.bench.peer --server PATH/llama-server --model FILE.gguf [--pairs 8] [--mixed] [--peer-kv split]
"""

import argparse
import asyncio
import contextlib
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.daemon_under_test import daemon
from tests.bench.figures import ratio_interval
from tests.bench.peer_server import (
    Server,
    Shape,
    free_port,
    fresh,
    hearth_config,
    is_token,
    llama_server,
)

SEQUENCES = 16
CONTEXT = 1024
STREAM_TOKENS = 800
"""What a stream of the mix would decode if it were let: more than a prompt lasts beside it."""
SETTLE_S = 1.0
"""After the streams of a mix were closed: a server notices it with the next token it wants to send."""


class Measured(Server):
    """A server, and what is measured of it."""

    async def stream(self, prompt: str, tokens: int) -> float:
        """One request, read to its end; seconds to the first token."""
        began = time.perf_counter()
        reader, writer = await self.ask(prompt, tokens)
        first = 0.0
        while line := await reader.readline():
            if not first and is_token(line):
                first = time.perf_counter() - began
        writer.close()
        await writer.wait_closed()
        assert first, f"{self.name} sent nothing"
        return first

    @contextlib.asynccontextmanager
    async def decoding(self, streams: int, seed: int, klass: str) -> AsyncIterator[None]:
        """Within it so many requests decode, all of them until its end; then their connections are closed."""
        roll = random.Random(seed)
        asked = [
            await self.ask(fresh(12, roll), STREAM_TOKENS, klass=klass) for _ in range(streams)
        ]
        for reader, _ in asked:
            while not is_token(line := await reader.readline()):
                assert line, f"{self.name} sent nothing"
        drains = [asyncio.create_task(_drain(reader)) for reader, _ in asked]
        try:
            yield
            assert not any(task.done() for task in drains), f"{self.name}: a stream ended too soon"
        finally:
            for task, (_, writer) in zip(drains, asked, strict=True):
                task.cancel()
                writer.close()
            await asyncio.sleep(SETTLE_S)

    async def decode_speed(self, streams: int, tokens: int, seed: int) -> float:
        """Tokens per second of so many greedy requests together, from the last first token to the end."""
        roll = random.Random(seed)
        prompts = [fresh(12, roll) for _ in range(streams)]
        began = time.perf_counter()
        firsts = await asyncio.gather(*(self.stream(prompt, tokens) for prompt in prompts))
        lasted = time.perf_counter() - began - max(firsts)
        return streams * (tokens - 1) / lasted  # some tokens are half a character and make no event

    async def first_token(self, prompt_tokens: int, seed: int) -> float:
        """Seconds to the first token of a prompt of about so many tokens that nobody has seen."""
        return await self.stream(fresh(prompt_tokens, random.Random(seed)), 1)

    async def first_token_beside(
        self, streams: int, klass: str, prompt_tokens: int, seed: int
    ) -> float:
        """The same while so many requests decode."""
        async with self.decoding(streams, seed, klass):
            return await self.first_token(prompt_tokens, seed + 1)


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass


async def compare(ours: Measured, theirs: Measured, arguments: argparse.Namespace) -> None:
    """Warm both up, then measure what was asked for."""
    pairs = Pairs(ours, theirs, arguments.pairs)
    for server in (ours, theirs):
        await server.ready()
        await server.decode_speed(2, 4, seed=0)
    await (compare_mixed if arguments.mixed else compare_alone)(pairs, arguments)


async def compare_alone(pairs: "Pairs", arguments: argparse.Namespace) -> None:
    """Streams together, and prompts alone."""
    for streams in arguments.streams:
        each = max(arguments.tokens, 128 // streams)
        a, b = await pairs.measure(
            lambda server, pair, n=streams, k=each: server.decode_speed(n, k, seed=100 * n + pair)
        )
        report(f"decode, {streams} streams", "tok/s", a, b)
    for prompt_tokens in arguments.prompts:
        a, b = await pairs.measure(
            lambda server, pair, n=prompt_tokens: server.first_token(n, seed=pair * 7 + n)
        )
        report(f"first token of {prompt_tokens}", "ms", in_ms(a), in_ms(b), less=True)


async def compare_mixed(pairs: "Pairs", arguments: argparse.Namespace) -> None:
    """Prompts while others decode."""
    for prompt_tokens in arguments.prompts:
        a, b = await pairs.measure(
            lambda server, pair, n=prompt_tokens: server.first_token_beside(
                arguments.beside, arguments.beside_class, n, seed=pair * 7 + n
            )
        )
        name = f"{prompt_tokens} beside {arguments.beside} {arguments.beside_class}"
        report(name, "ms", in_ms(a), in_ms(b), less=True)


@dataclass(frozen=True)
class Pairs:
    """Both servers, measured in turns; who goes first changes from pair to pair."""

    ours: Measured
    theirs: Measured
    count: int

    async def measure(
        self, one: Callable[[Measured, int], Awaitable[float]]
    ) -> tuple[list[float], list[float]]:
        """Return what `one(server, pair)` gave, ours and theirs."""
        a: list[float] = []
        b: list[float] = []
        for pair in range(self.count):
            order = [(self.ours, a), (self.theirs, b)]
            for server, into in order if pair % 2 else reversed(order):
                into.append(await one(server, pair))
        return a, b


def in_ms(seconds: list[float]) -> list[float]:
    return [1e3 * value for value in seconds]


def report(
    name: str, unit: str, ours: list[float], theirs: list[float], *, less: bool = False
) -> None:
    """One line. The ratio is of speeds: above 1 Hearth is the faster one, also where less is better."""
    mean, low, high = ratio_interval(theirs, ours) if less else ratio_interval(ours, theirs)
    middle = [statistics.median(values) for values in (ours, theirs)]
    print(
        f"{name:<22} {middle[0]:9.1f} / {middle[1]:9.1f} {unit}: ratio {mean:.3f} [{low:.3f}, {high:.3f}]",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--server", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 4, 8, 16])
    parser.add_argument("--prompts", type=int, nargs="*", default=[128, 512])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sub-batch", type=int, default=128)
    parser.add_argument("--mixed", action="store_true", help="prompts while streams decode")
    parser.add_argument("--beside", type=int, default=4, help="streams of the mix")
    parser.add_argument(
        "--beside-class", default="foreground", help="what the streams of the mix are to Hearth"
    )
    parser.add_argument("--peer-kv", choices=["unified", "split"], default="unified")
    arguments = parser.parse_args()
    shape = Shape(SEQUENCES, CONTEXT, arguments.threads, arguments.sub_batch)
    port = free_port()
    config = hearth_config(
        port, {"twin": arguments.model.resolve()}, shape, kinds='kinds = ["chat"]'
    )
    with (
        llama_server(arguments.server, arguments.model, shape, kv=arguments.peer_kv) as peer,
        daemon(config),
    ):
        print("ours / theirs, medians; ratio of speeds, pair by pair, with its 95 % interval")
        ours, theirs = Measured("hearth", port), Measured("llama-server", peer.port)
        asyncio.run(compare(ours, theirs, arguments))


if __name__ == "__main__":
    main()
