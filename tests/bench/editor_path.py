"""What the whole path from an editor to the model costs beside the engine alone.

A client process asks through `hearth lsp` for inline completions at 200 places of a file of the standard library. The
daemon's parts run here, so that each answer's time can be held against what the worker itself says it took for that
very request, from the job's arrival in its mailbox to the last token. With `--saturate` a second model's worker
computes on every core meanwhile.

    python -m tests.bench.editor_path [--places 200] [--file textwrap] [--saturate]
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from daemon.assistant import DaemonAssistant
from daemon.orchestrator import ModelEntry, Orchestrator
from daemon.tickets import Ask, Ticket
from engines import devices
from engines.engine import Job, Plain
from engines.process import ProcessEngine
from engines.spec import ModelSpec
from lsp.endpoint import Endpoint
from policies.request import Kind
from policies.view import ModelView
from tests.bench.figures import row
from tests.engines.hearing import EMBEDDED, embedded_engine, running

NAME = "hearth-tiny"


class Watched(Orchestrator):
    """Keeps every ticket, to ask it afterwards what its worker said."""

    tickets: list[Ticket]

    def submit(self, ask: Ask) -> Ticket:
        ticket = super().submit(ask)
        self.tickets.append(ticket)
        return ticket


@contextlib.asynccontextmanager
async def daemon() -> AsyncIterator[tuple[Watched, str]]:
    """The daemon's parts on the embedded model, and the address of its editors' door."""
    kinds = frozenset({Kind.COMPLETE, Kind.POPUP})
    view = ModelView(NAME, kinds, frozenset({"python"}), need_bytes=1 << 26, sequences=4)
    spec = ModelSpec(NAME, str(EMBEDDED))
    orchestrator = Watched(
        [ModelEntry(view, str(EMBEDDED))],
        lambda _name, receive: ProcessEngine(spec, receive, devices.build_name),
    )
    orchestrator.tickets = []
    running_loop = asyncio.create_task(orchestrator.run())
    endpoint = Endpoint(DaemonAssistant(orchestrator), version="bench")
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    orchestrator.preload(NAME)
    try:
        host, port = server.sockets[0].getsockname()
        yield orchestrator, f"{host}:{port}"
    finally:
        server.close()
        endpoint.close()
        running_loop.cancel()
        await orchestrator.close()


@contextlib.asynccontextmanager
async def saturated() -> AsyncIterator[None]:
    """A second worker that computes all the while: long prompts, long answers, four at once."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(embedded_engine, Path(folder) / "r.json", threads=2) as hearing:
            work = asyncio.create_task(_churn(hearing))
            yield
            work.cancel()


async def _churn(hearing) -> None:
    number = 0
    while True:
        jobs = [
            Job(number + n, Plain(" ".join(random.choices("abcdefgh", k=250))), tokens_max=200)
            for n in range(4)
        ]
        number += 4
        for job in jobs:
            hearing.engine.submit(job)
        for job in jobs:
            await hearing.answer(job.request_id)
        hearing.frames.clear()


async def measure(arguments: argparse.Namespace) -> None:
    async with daemon() as (orchestrator, address), contextlib.AsyncExitStack() as stack:
        if arguments.saturate:
            await stack.enter_async_context(saturated())
        command = [
            "-m",
            "tests.bench.editor_client",
            arguments.file,
            str(arguments.places),
            address,
        ]
        client = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await client.communicate()
        seen = json.loads(output)
        results = [await ticket.result() for ticket in orchestrator.tickets[1:]]
    assert len(results) == len(seen), "each place asks the model once"
    whole = [took for took, _ in seen]
    spent = [result.timings for result in results]
    engine = [t.queued_ms + t.prompt_ms + t.predict_ms for t in spent]
    print(f"{len(seen)} places, {sum(not shown for _, shown in seen)} with nothing to show")
    print(row("editor: request to answer", whole))
    print(
        row(
            "daemon: submit to first token", [1e3 * (r.first_token_s or r.whole_s) for r in results]
        )
    )
    print(row("worker: first token", [t.queued_ms + t.prompt_ms for t in spent]))
    print(row("worker: job to end", engine))
    print(row("overhead: editor less worker", [a - b for a, b in zip(whole, engine, strict=True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--places", type=int, default=200)
    parser.add_argument("--file", default="textwrap")
    parser.add_argument("--saturate", action="store_true")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
