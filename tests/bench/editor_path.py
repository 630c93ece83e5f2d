"""What the whole path from an editor to the model costs beside the bare engine.

For each of 200 places in a file of the standard library, in turn: an inline completion through `hearth lsp`, and
the very same job on two bare engines started here. All workers are warm and see the places in the same order; those
that are not asked sleep. The difference of the two bare ones is the noise that the overhead must be read against. With `--saturate` a second model's worker computes on every core meanwhile.

    python -m tests.bench.editor_path [--places 200] [--file textwrap] [--saturate]
"""

import argparse
import asyncio
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from daemon.assistant import EMBEDDED_CHARS, TOKENS_MAX
from daemon.cli.editor import Editor
from daemon.fim_window import Window, fim_of
from engines.engine import Fim, Job, Plain
from lsp.assistant import Query
from lsp.context import Limits
from tests.bench.daemon_under_test import daemon
from tests.bench.figures import row
from tests.engines.hearing import Hearing, embedded_engine, running


def places(text: str, count: int) -> list[tuple[int, int]]:
    """Ends of words in lines of code, spread over the file, always the same."""
    roll = random.Random(7)
    lines = text.split("\n")
    code = [n for n, line in enumerate(lines) if len(line.strip()) > 8 and n > 20]
    chosen = [roll.choice(code) for _ in range(count)]
    return [(n, roll.randrange(len(lines[n]) // 2, len(lines[n]))) for n in chosen]


def query_at(text: str, line: int, column: int) -> Query:
    """What the session makes of a place."""
    lines = text.split("\n")
    before = "\n".join([*lines[:line], lines[line][:column]])[-Limits().chars :]
    after = "\n".join([lines[line][column:], *lines[line + 1 :]])[: Limits().chars]
    return Query("bench", "file:///b.py", "/b.py", "python", 1, line, before, after, invoked=True)


class Pipe:
    """`hearth lsp` as an editor starts it."""

    def __init__(self, environ: dict[str, str]) -> None:
        command = [sys.executable, "-m", "daemon.cli.entry", "lsp"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
        )
        self.editor = Editor(self.process.stdout, self.process.stdin, name="bench")

    def close(self) -> None:
        self.editor.close()
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


async def saturate(stop: asyncio.Event) -> None:
    """Keep a second worker computing: long prompts, long answers, four at once."""
    words = ["alpha", "beta", "gamma", "delta"]
    with tempfile.TemporaryDirectory() as folder:
        async with running(embedded_engine, Path(folder) / "r.json", threads=2) as hearing:
            number = 0
            while not stop.is_set():
                jobs = [
                    Job(number + n, Plain(" ".join(random.choices(words, k=250))), tokens_max=200)
                    for n in range(4)
                ]
                number += 4
                for job in jobs:
                    hearing.engine.submit(job)
                for job in jobs:
                    await hearing.answer(job.request_id)
                hearing.frames.clear()


class Bare:
    """A warm engine of our own, asked the same jobs."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._number = 0
        self.times: list[float] = []
        self.first: list[float] = []

    async def ask(self, fim: Fim) -> None:
        self._number += 1
        stops = ("\n",) if fim.single_line else ()
        began = time.perf_counter()
        answer = await self._hearing.ask(
            Job(self._number, fim, TOKENS_MAX, stops=stops, logprobs=True)
        )
        self.times.append((time.perf_counter() - began) * 1e3)
        timings = answer.stopped.timings
        self.first.append(timings.queued_ms + timings.prompt_ms)


async def measure(arguments: argparse.Namespace) -> None:
    path = Path(importlib.util.find_spec(arguments.file).origin)
    text = await asyncio.to_thread(path.read_text, encoding="utf-8")
    spots = places(text, arguments.places)
    stop = asyncio.Event()
    load = asyncio.create_task(saturate(stop)) if arguments.saturate else None
    with daemon() as under_test, tempfile.TemporaryDirectory() as folder:
        rungs = Path(folder) / "rungs.json"
        pipe = await asyncio.to_thread(Pipe, under_test.environ)
        await asyncio.to_thread(pipe.editor.initialize, path.parent)
        await asyncio.to_thread(pipe.editor.open, path, text)
        whole, empty = [], 0
        async with running(embedded_engine, rungs) as one, running(embedded_engine, rungs) as other:
            alone, again = Bare(one), Bare(other)
            for line, column in spots:
                fim = fim_of(query_at(text, line, column), Window(), EMBEDDED_CHARS, one_line=True)
                await alone.ask(fim)
                began = time.perf_counter()
                shown = await asyncio.to_thread(pipe.editor.complete, path, text, line, column)
                whole.append((time.perf_counter() - began) * 1e3)
                empty += shown is None
                await again.ask(fim)
        await asyncio.to_thread(pipe.close)
    stop.set()
    if load:
        await load
    print(f"{path.name}: {len(spots)} places, {empty} with nothing to show")
    print(row("editor: request to answer", whole))
    print(row("bare engine: job to end", alone.times))
    print(row("bare engine: first token", alone.first))
    print(row("overhead: editor less bare", differences(whole, alone.times)))
    print(row("noise: bare less another bare", differences(again.times, alone.times)))


def differences(a: list[float], b: list[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--places", type=int, default=200)
    parser.add_argument("--file", default="textwrap")
    parser.add_argument("--saturate", action="store_true")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
