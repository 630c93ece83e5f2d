"""A server under load as its clients see it, and how llama-server and Hearth are set up to be alike.

Raw sockets and as little work as can be: the client shares the cores with what it measures.
"""

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.mixed_counting import Exchange
from tests.bench.words import WORDS

READY_S = 120
WARM_S = 60


@dataclass(frozen=True)
class Shape:
    """What both servers are given. `context` is in tokens, a sequence."""

    sequences: int
    context: int
    threads: int
    sub_batch: int


class Server:
    """One HTTP server that speaks /completion."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port

    async def ask(
        self, prompt: str, tokens: int, *, klass: str = "foreground", model: str = ""
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send one greedy request on a connection of its own; its answer is still to be read."""
        body = {
            "prompt": prompt,
            "n_predict": tokens,
            "stream": True,
            "temperature": 0,
            "top_k": 1,
            "ignore_eos": True,
            "cache_prompt": False,
        }
        data = json.dumps(body | ({"model": model} if model else {})).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)
        writer.write(
            b"POST /completion HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"X-Hearth-Class: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            % (klass.encode(), len(data))
            + data
        )
        return reader, writer

    async def exchange(self, prompt: str, into: Exchange, *, klass: str, model: str = "") -> None:
        """Send one request and note what comes as it comes; whoever cancels this keeps what came."""
        into.sent_s = time.perf_counter()
        reader, writer = await self.ask(prompt, into.tokens_asked, klass=klass, model=model)
        try:
            last = b""
            while line := await reader.readline():
                if is_token(line):
                    into.events_s.append(time.perf_counter())
                if line.startswith((b"data:", b"{", b"error:")):
                    last = line
            _close(into, last)
        finally:
            writer.close()

    async def ready(self) -> None:
        """Wait until /health answers 200."""
        async with asyncio.timeout(READY_S):
            while True:
                if await self._is_ready():
                    return
                await asyncio.sleep(0.1)

    async def warm(self, model: str = "") -> None:
        """Have it load the model, if it has not, and answer once."""
        once = Exchange(tokens_asked=2)
        async with asyncio.timeout(WARM_S):
            await self.exchange("warm", once, klass="interactive", model=model)
        assert not once.error, f"{self.name}: {once.error}"

    async def _is_ready(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        line = await reader.readline()
        writer.close()
        return b" 200 " in line


def fresh(words: int, roll: random.Random) -> str:
    """A prompt of so many words that nobody has seen."""
    return " ".join(roll.choices(WORDS, k=words))


def is_token(line: bytes) -> bool:
    """Whether a line of an answer is an event with some of its text."""
    return line.startswith(b"data:") and b'"content":"' in line and b'"content":""' not in line


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def llama_server(binary: Path, model: Path, shape: Shape, *, kv: str = "split") -> Iterator[Server]:
    """llama-server, as like to Hearth as its options allow; it is ended afterwards.

    `kv` is "split", which is what it chooses itself where a number of sequences is given, or "unified". As many
    threads for HTTP as any load has connections: with its own choice requests would wait for those first.
    """
    port = free_port()
    options = (
        f"-m {model} --port {port} -t {shape.threads} -tb {shape.threads} -ub {shape.sub_batch} -b 2048"
        f" -np {shape.sequences} -c {shape.sequences * shape.context} --no-repack --cache-ram 0 --no-webui"
        f" --threads-http 64{' --kv-unified' if kv == 'unified' else ''}"
    )
    process = subprocess.Popen(
        [binary, *options.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield Server("llama-server", port)
    finally:
        process.terminate()
        process.wait(20)


def hearth_config(
    port: int,
    models: Mapping[str, Path],
    shape: Shape,
    *,
    kinds: str = "",
    scheduling: str = "",
    journal: Path | None = None,
) -> str:
    """Hearth's configuration. `kinds` and `scheduling` are lines of TOML; without, the defaults hold."""
    parts = [f"[server]\nport = {port}"]
    if journal:
        parts.append(f'[log]\njournal = "{journal.resolve()}"')
    if scheduling:
        parts.append(f"[scheduling]\n{scheduling}")
    parts += [
        f'[[model]]\nname = "{name}"\npath = "{path}"\nsequences = {shape.sequences}\n'
        f"context = {shape.context}\nthreads = {shape.threads}\n{kinds}"
        for name, path in models.items()
    ]
    return "\n".join(parts)


def _close(into: Exchange, last: bytes) -> None:
    """Take in what the last event says: the sizes of an answer that is whole, or why there is none."""
    with contextlib.suppress(ValueError):
        said = json.loads(last.removeprefix(b"data:"))
        if said.get("stop") and "timings" in said:
            into.ended_s = time.perf_counter()
            into.prompt_tokens = said["tokens_evaluated"]
            into.evaluated_tokens = said["timings"]["prompt_n"]
            into.prompt_s = said["timings"]["prompt_ms"] / 1e3
            into.output_tokens = said["tokens_predicted"]
            if into.output_tokens < into.tokens_asked:
                into.error = f"{into.output_tokens} of {into.tokens_asked} tokens"
            return
    into.error = last.decode(errors="replace")[:200].strip() or "the connection closed"
