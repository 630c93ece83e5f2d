"""Hearth beside llama-server of the same llama.cpp source: decode speed and time to first token, in turns.

Both serve the same file over HTTP with the same threads, sub-batch, cache and kernels (`--no-repack` there, the
rung that our self-test chose here). Every figure is the ratio of interleaved pairs with its 95 % interval.

    python -m tests.bench.peer --server PATH/llama-server --model FILE.gguf [--pairs 8]
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import time
from pathlib import Path

from tests.bench.daemon_under_test import daemon
from tests.bench.figures import ratio_interval

SEQUENCES = 16
CONTEXT = 1024
PEER_PORT = 18077
WORDS = [
    "def",
    "class",
    "return",
    "import",
    "self",
    "for",
    "in",
    "range",
    "len",
    "print",
    "value",
    "index",
    "node",
    "list",
    "dict",
    "open",
    "read",
    "write",
    "data",
    "key",
]


class Server:
    """One HTTP server and how to measure it. Raw sockets: the client shares the cores with what it measures."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self._port = port

    async def stream(self, prompt: str, tokens: int) -> float:
        """One request to /completion, read to its end; seconds to the first token."""
        body = json.dumps(
            {
                "prompt": prompt,
                "n_predict": tokens,
                "stream": True,
                "temperature": 0,
                "top_k": 1,
                "ignore_eos": True,
                "cache_prompt": False,
            }
        ).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 22)
        began = time.perf_counter()
        writer.write(
            b"POST /completion HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        first = 0.0
        while line := await reader.readline():
            if not first and line.startswith(b"data:") and b'"content"' in line:
                first = time.perf_counter() - began
        writer.close()
        await writer.wait_closed()
        assert first, f"{self.name} sent nothing"
        return first

    async def decode_speed(self, streams: int, tokens: int, seed: int) -> float:
        """Tokens per second of so many greedy requests together, from the last first token to the end."""
        roll = random.Random(seed)
        prompts = [" ".join(roll.choices(WORDS, k=12)) for _ in range(streams)]
        began = time.perf_counter()
        firsts = await asyncio.gather(*(self.stream(prompt, tokens) for prompt in prompts))
        lasted = time.perf_counter() - began - max(firsts)
        return streams * (tokens - 1) / lasted  # some tokens are half a character and make no event

    async def first_token(self, prompt_tokens: int, seed: int) -> float:
        """Seconds to the first token of a prompt of about so many tokens that nobody has seen."""
        roll = random.Random(seed)
        return await self.stream(" ".join(roll.choices(WORDS, k=prompt_tokens)), 1)


def start_peer(binary: Path, model: Path, threads: int, sub_batch: int) -> subprocess.Popen[bytes]:
    """Start llama-server as like to ours as its options allow."""
    options = (
        f"-m {model} --port {PEER_PORT} -t {threads} -tb {threads} -ub {sub_batch} -b 2048 -np {SEQUENCES}"
        f" -c {SEQUENCES * CONTEXT} --kv-unified --no-repack --cache-ram 0 --no-webui"
    )
    return subprocess.Popen(
        [binary, *options.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


async def ready(port: int) -> None:
    """Wait until /health answers 200."""
    async with asyncio.timeout(120):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(
                    b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
                )
                line = await reader.readline()
                writer.close()
                if b" 200 " in line:
                    return
            except OSError:
                pass
            await asyncio.sleep(0.1)


async def compare(ours: Server, theirs: Server, arguments: argparse.Namespace) -> None:
    pairs, tokens = arguments.pairs, arguments.tokens
    for server in (ours, theirs):
        await server.decode_speed(2, 4, seed=0)
    for streams in arguments.streams:
        a, b = [], []
        for pair in range(pairs):
            order = [(ours, a), (theirs, b)]
            for server, into in order if pair % 2 else reversed(order):
                into.append(
                    await server.decode_speed(
                        streams, max(tokens, 128 // streams), seed=100 * streams + pair
                    )
                )
        report(f"decode, {streams} streams", "tok/s", a, b)
    for prompt_tokens in arguments.prompts:
        a, b = [], []
        for pair in range(pairs):
            order = [(ours, a), (theirs, b)]
            for server, into in order if pair % 2 else reversed(order):
                into.append(
                    1e3
                    * await server.first_token(
                        prompt_tokens, seed=pair * 7 + prompt_tokens + (server is ours)
                    )
                )
        report(f"first token of {prompt_tokens}", "ms", a, b, less=True)


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
    arguments = parser.parse_args()
    config = (
        f'[server]\nport = {PEER_PORT + 1}\n[[model]]\nname = "twin"\npath = "{arguments.model}"\n'
        f"kinds = ['chat']\nsequences = {SEQUENCES}\ncontext = {CONTEXT}\nthreads = {arguments.threads}\n"
    )
    peer = start_peer(arguments.server, arguments.model, arguments.threads, arguments.sub_batch)
    try:
        with daemon(config):
            asyncio.run(ready(PEER_PORT))
            print("ours / theirs, medians; ratio of speeds, pair by pair, with its 95 % interval")
            asyncio.run(
                compare(
                    Server("hearth", PEER_PORT + 1), Server("llama-server", PEER_PORT), arguments
                )
            )
    finally:
        peer.terminate()
        peer.wait(20)


if __name__ == "__main__":
    main()
