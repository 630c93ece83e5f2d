"""A real server on a real port, over a daemon that ends requests as a test says."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from daemon.http.app import make_app
from daemon.http.connection import Limits
from daemon.http.listeners import Listeners, start
from daemon.http.settings import About, HttpSettings
from daemon.journal import Journal
from daemon.snapshot import LatencySnapshot, ModelSnapshot, Snapshot
from daemon.tickets import Ask, Desk, Ticket
from engines.engine import Emitted, Loaded, Score, Stopped, StopType, Timings, Usage
from policies.messages import Outcome, Reason
from policies.request import Class
from policies.view import Phase

LOADED = Loaded(
    rung="cpu",
    sequences=4,
    context_tokens=2048,
    load_s=0.5,
    used_bytes=3,
    fim=True,
    chat=True,
    architecture="qwen2",
    parameters=5,
    file_bytes=7,
    quantisation="Q8_0",
)
TIMINGS = Timings(
    prompt_tokens=12, cached_tokens=8, emitted_tokens=2, prompt_ms=4.0, predict_ms=6.0
)


def model(*, phase: Phase = Phase.READY, fim: bool = True, chat: bool = True) -> ModelSnapshot:
    return ModelSnapshot(
        name="tiny",
        path="/somewhere/private/tiny.gguf",
        kinds=("complete",),
        languages=(),
        phase=phase,
        progress=None,
        detail="",
        loaded=replace(LOADED, fim=fim, chat=chat) if phase is Phase.READY else None,
        usage=Usage(private_bytes=1, mapped_bytes=2),
        running=1,
        prefill_tokens_per_s=100.0,
        decode_tokens_per_s=10.0,
        deaths=0,
    )


@dataclass
class Script:
    """Takes requests as the orchestrator does; each ends with `pieces`, or stays open where `open` is set."""

    pieces: tuple[str, ...] = ("two", " words")
    scores: tuple[Score, ...] = ()
    """One for each piece, or none at all."""
    outcome: Outcome = Outcome.DONE
    reason: Reason = Reason.COMPLETE
    detail: str = ""
    stop: StopType | None = field(default_factory=lambda: StopType("eos"))
    vector: bytes = b""
    timings: Timings = TIMINGS
    open: bool = False
    models: tuple[ModelSnapshot, ...] = (model(),)
    asks: list[Ask] = field(default_factory=list)
    ends: list[Reason] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    journal: Journal = field(default_factory=Journal)

    def __post_init__(self) -> None:
        self.desk = Desk()

    def submit(self, ask: Ask) -> Ticket:
        self.asks.append(ask)
        ticket = self.desk.add(Ticket(self.desk.take_number(), "tiny", 0.0, self._withdraw))
        asyncio.get_running_loop().call_soon(self._run, ticket)
        self._note()
        return ticket

    def snapshot(self) -> Snapshot:
        return Snapshot(
            models=self.models,
            queued={Class.FOREGROUND: 2},
            latency={Class.INTERACTIVE: LatencySnapshot(1, 2.0, 3.0, 4.0, 5.0)},
            ended={"done": 9},
            memory_budget_bytes=100,
            memory_used_bytes=3,
        )

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait until that has become true of the script."""
        async with asyncio.timeout(5):
            while not what():
                await self.changed.wait()
                self.changed.clear()

    def finish_all(self) -> None:
        """End what was left open."""
        for number in range(1, len(self.asks) + 1):
            if ticket := self.desk.find(number):
                self._finish(ticket)

    def _run(self, ticket: Ticket) -> None:
        if ticket.ended:
            return
        for number, text in enumerate(self.pieces):
            scores = self.scores[number : number + 1]
            ticket.feed(Emitted(ticket.id, (number,), text, -0.1, scores), 0.1)
        if not self.open:
            self._finish(ticket)

    def _finish(self, ticket: Ticket) -> None:
        ticket.finish(
            Stopped(ticket.id, "done", self.stop, timings=self.timings, vector=self.vector)
        )
        self._close(ticket.id, self.outcome, self.reason)

    def _withdraw(self, request_id: int, reason: Reason) -> None:
        self._close(request_id, Outcome.CANCELLED, reason)

    def _close(self, request_id: int, outcome: Outcome, reason: Reason) -> None:
        self.desk.close(request_id, outcome, reason, 0.2, self.detail)
        self.ends.append(reason)
        self._note()

    def _note(self) -> None:
        self.changed.set()


def facts() -> About:
    return About(
        version="0.1.0",
        pid=42,
        started_unix_s=1000.0,
        uptime_s=1.0,
        http="http://127.0.0.1:8012",
        notices=("a notice",),
    )


@dataclass
class Served:
    """A running server: `api` speaks to its port, `local` to its socket."""

    api: httpx.AsyncClient
    local: httpx.AsyncClient
    script: Script
    listeners: Listeners


@asynccontextmanager
async def served(script: Script, settings: HttpSettings, limits: Limits, directory: Path) -> Served:
    app = make_app(script, facts, settings)
    uds = directory / "h.sock"
    listeners = await start(app, port=0, uds=uds, limits=limits)
    base = f"http://127.0.0.1:{listeners.port}"
    transport = httpx.AsyncHTTPTransport(uds=str(uds), verify=False)
    try:
        async with (
            httpx.AsyncClient(base_url=base, verify=False) as api,
            httpx.AsyncClient(base_url="http://hearth", transport=transport) as local,
        ):
            yield Served(api, local, script, listeners)
    finally:
        await listeners.close()


@pytest.fixture
def serving(tmp_path: Path):
    """Run a coroutine function against a server: `serving(test, pieces=("a",), settings=...)`."""

    def run(test, *, settings: HttpSettings | None = None, limits: Limits | None = None, **script):
        async def body():
            async with served(
                Script(**script), settings or HttpSettings(), limits or Limits(), tmp_path
            ) as server:
                return await test(server)

        return asyncio.run(body())

    return run


@pytest.fixture
def snapshot_of_model():
    return model


@pytest.fixture
def about():
    return facts
