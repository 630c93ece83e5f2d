"""A journal of mixed work on one true model: streams that always run, and completions that come in between.

    python -m tests.bench.recorded_load MODEL.gguf JOURNAL [--sequences 8] [--seconds 150] [--kinds chat ...]

The daemon's orchestrator and a worker's process, without sockets. The streams' number grows in equal times; their
prompts and answers have many lengths, and some repeat the beginning of a prompt that came before.
"""

import argparse
import asyncio
import itertools
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from daemon.journal import Journal, JournalFile
from daemon.orchestrator import ModelEntry, Orchestrator
from daemon.tickets import Ask, Result
from engines import devices
from engines.engine import Plain, Receive, Sampling
from engines.process import ProcessEngine
from engines.spec import ModelSpec
from policies.messages import Outcome
from policies.request import Kind
from policies.view import ModelView
from tests.bench.words import WORDS

NAME = "recorded"
STREAMS = (1, 2, 4, 7)
"""Streams at the same time, one phase each."""
KINDS = (Kind.CHAT, Kind.SUMMARISE, Kind.GENERATE, Kind.INDEX)
EVERY_S = 1.5
"""Between two completions."""
CONTEXT = 2048


class Load:
    """Asks of many sizes, from one roll of the dice."""

    def __init__(self, orchestrator: Orchestrator, seed: int) -> None:
        self._orchestrator = orchestrator
        self._roll = random.Random(seed)
        self._clients = itertools.count()
        self._said = ""

    async def ask(self, kind: Kind, words: int, tokens: int) -> Result:
        """One answer of so many tokens; one prompt in four begins as the last one did."""
        text = " ".join(self._roll.choices(WORDS, k=words))
        if self._roll.random() < 0.25:
            text = self._said[: len(text) // 2] + text[len(text) // 2 :]
        self._said = text
        ticket = self._orchestrator.submit(
            Ask(
                kind,
                Plain(text),
                tokens,
                client=str(next(self._clients)),
                model=NAME,
                sampling=Sampling(ignore_eos=True),
            )
        )
        return await ticket.result()

    async def stream(self, kind: Kind) -> None:
        """One long answer after the other."""
        while True:
            words, tokens = self._roll.randint(20, 400), self._roll.randint(20, 200)
            result = await self.ask(kind, words, tokens)
            assert result.outcome is Outcome.DONE, result

    async def complete(self, seconds: float) -> None:
        """Completions, one every so often."""
        completions: list[asyncio.Task[Result]] = []
        for _ in range(round(seconds / EVERY_S)):
            ask = self.ask(Kind.COMPLETE, self._roll.randint(50, 150), 8)
            completions.append(asyncio.create_task(ask))
            await asyncio.sleep(EVERY_S)
        await asyncio.gather(*completions)


async def record(
    model: Path, journal: Path, *, sequences: int, seconds: float, kinds: Sequence[Kind]
) -> None:
    """Write the journal of a load of so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        spec = ModelSpec(
            NAME,
            str(model),
            context=CONTEXT,
            sequences=sequences,
            rungs_file=f"{folder}/rungs.json",
        )

        def make_engine(_name: str, receive: Receive) -> ProcessEngine:
            return ProcessEngine(spec, receive, devices.build_name)

        view = ModelView(NAME, frozenset(Kind), frozenset(), need_bytes=1, sequences=sequences)
        book = Journal(file=JournalFile(journal, bytes_max=1 << 40))
        orchestrator = Orchestrator([ModelEntry(view, str(model))], make_engine, journal=book)
        running = asyncio.create_task(orchestrator.run())
        await _load(Load(orchestrator, seed=11), seconds, kinds)
        running.cancel()
        await orchestrator.close()


async def _load(load: Load, seconds: float, kinds: Sequence[Kind]) -> None:
    """The phases. Streams are withdrawn at the end of theirs."""
    await load.ask(Kind.COMPLETE, 20, 2)
    await load.complete(4 * EVERY_S)
    for streams in STREAMS:
        chosen = itertools.islice(itertools.cycle(kinds), streams)
        tasks = [asyncio.create_task(load.stream(kind)) for kind in chosen]
        await load.complete(seconds / len(STREAMS))
        for task in tasks:
            assert not task.done(), task.exception()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("journal", type=Path)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--kinds", nargs="+", type=Kind, default=KINDS, help="of the streams")
    arguments = parser.parse_args()
    asyncio.run(
        record(
            arguments.model,
            arguments.journal,
            sequences=arguments.sequences,
            seconds=arguments.seconds,
            kinds=arguments.kinds,
        )
    )


if __name__ == "__main__":
    main()
