"""The assistant of an editor's session, with the true orchestrator and a fake engine behind it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from daemon.assistant import DaemonAssistant
from daemon.config import EMBEDDED_NAME
from daemon.orchestrator import ModelEntry, Orchestrator
from engines.engine import Job
from engines.fake import FakeEngine
from engines.fake_knobs import Knobs, steady
from engines.lookup import Found
from lsp.assistant import Query
from policies.request import Kind
from policies.view import ModelView

CODER = ModelView("coder", frozenset(Kind), frozenset(), need_bytes=0, sequences=2)
EMBEDDED = replace(CODER, name=EMBEDDED_NAME)
QUERY = Query("editor", "file:///w/a.py", "/w/a.py", "python", 1, 0, "x = ", "\n")
SURE = Found("looked_up()", 20, 0.95, "file")
LIKELY = replace(SURE, confidence=0.6)
WEAK = replace(SURE, confidence=0.1)


@dataclass
class World:
    """The assistant, what it looks up, and the jobs that reached an engine."""

    orchestrator: Orchestrator
    found: Found | None = None
    jobs: list[Job] = field(default_factory=list)
    looked_up: list[tuple[str, ...]] = field(default_factory=list)
    assistant: DaemonAssistant = field(init=False)

    def look_up(self, prefix, suffix, *, others=()):
        self.looked_up.append((prefix, suffix, *others))
        return self.found

    @property
    def ended(self):
        return self.orchestrator.snapshot().ended

    @property
    def waiting(self):
        return sum(self.orchestrator.snapshot().queued.values())

    async def until(self, wanted):
        """Wait for a change of state after which something holds."""
        changed = asyncio.Event()
        unwatch = self.orchestrator.watch(changed.set)
        async with asyncio.timeout(20):
            while not wanted():
                await changed.wait()
                changed.clear()
        unwatch()


@asynccontextmanager
async def world(script="done()", *, view=CODER, found=None, knobs=None):
    """A fake engine that answers `script`, at first not loaded, and all that stands before it."""
    knobs = replace(knobs or Knobs(step_s=steady(tokens_per_s=10_000)), script=lambda _: script)

    def make(_name, receive):
        engine = FakeEngine(receive, knobs)
        submit = engine.submit

        def note(job):
            here.jobs.append(job)
            submit(job)

        engine.submit = note
        return engine

    orchestrator = Orchestrator([ModelEntry(view)], make)
    here = World(orchestrator, found)
    driver = asyncio.create_task(orchestrator.run())
    here.assistant = DaemonAssistant(orchestrator, look_up=here.look_up)
    try:
        yield here
    finally:
        await orchestrator.close()
        driver.cancel()


async def ready(here):
    """Load the model, and let the assistant hear of it."""
    heard = asyncio.Event()
    unwatch = here.assistant.watch(lambda status: status.kind == "ready" and heard.set())
    here.orchestrator.preload(here.orchestrator.snapshot().models[0].name)
    await here.until(lambda: here.orchestrator.snapshot().models[0].loaded)
    async with asyncio.timeout(20):
        await heard.wait()
    unwatch()


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario(), 30))


def typed(query, text):
    """The query once so much more was typed."""
    return replace(query, prefix=query.prefix + text, version=query.version + 1)
