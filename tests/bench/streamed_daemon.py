"""The daemon's own parts, from the worker's socket to the clients' ones, for `tests.bench.streaming` to measure.

    python -m tests.bench.streamed_daemon [PROFILE]

Its first line says on which port it serves. For each line of input it says how much processor time it has taken, in
seconds. It ends with its input.
"""

import asyncio
import cProfile
import os
import sys
import tempfile
import time
from pathlib import Path

from daemon.http.app import make_app
from daemon.http.listeners import start
from daemon.http.settings import About, HttpSettings
from daemon.orchestrator import ModelEntry, Orchestrator
from engines.engine import Receive
from engines.process import ProcessEngine
from engines.spec import ModelSpec
from policies.request import Kind
from policies.view import ModelView
from tests.bench.paper_worker import SEQUENCES

NAME = "paper"


def use_paper_workers(folder: Path) -> None:
    """Let whatever starts `python -m engines.worker` start `tests.bench.paper_worker`."""
    starter = folder / "python"
    starter.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.bench.paper_worker "$@"\n')
    starter.chmod(0o700)
    sys.executable = str(starter)


async def serve(folder: Path) -> None:
    """Be a daemon without editors and models, until standard input closes."""
    spec = ModelSpec(NAME, "", rungs_file=str(folder / "rungs.json"))

    def make_engine(_name: str, receive: Receive) -> ProcessEngine:
        return ProcessEngine(spec, receive, lambda: "CPU")

    view = ModelView(NAME, frozenset(Kind), frozenset(), need_bytes=1, sequences=SEQUENCES)
    orchestrator = Orchestrator([ModelEntry(view)], make_engine)
    running = asyncio.create_task(orchestrator.run())
    about = About("bench", os.getpid(), 0.0, 0.0)
    settings = HttpSettings(tokens_max=1 << 20)
    listeners = await start(make_app(orchestrator, lambda: about, settings), port=0)
    print(listeners.port, flush=True)
    await answer_questions()
    running.cancel()
    await asyncio.gather(orchestrator.close(), listeners.close())


async def answer_questions() -> None:
    """Say how much processor time was taken, whenever asked."""
    over = asyncio.Event()

    def answer() -> None:
        if sys.stdin.readline():
            print(time.process_time(), flush=True)
        else:
            over.set()

    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, answer)
    await over.wait()
    loop.remove_reader(sys.stdin)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as name:
        use_paper_workers(Path(name))
        if sys.argv[1:]:
            with cProfile.Profile() as profiler:
                asyncio.run(serve(Path(name)))
            profiler.dump_stats(sys.argv[1])
        else:
            asyncio.run(serve(Path(name)))


if __name__ == "__main__":
    main()
