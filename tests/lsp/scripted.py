"""An assistant that answers from a script, and holds answers back until a test lets them go."""

from __future__ import annotations

import asyncio

from lsp.assistant import Draft, Status
from tests.lsp.editor import serving


class Scripted:
    """Answers each query with `answer`. While `held`, an answer waits for `release`."""

    def __init__(self, answer="", *, held=False):
        self.answer = answer
        self.held = held
        self.queries = asyncio.Queue()
        self.waiting = []
        self.withdrawn = []
        self.opened_languages = []
        self.acceptances = []
        self.gone = []
        self.listeners = []
        self.state = Status("ready", "Ready")

    async def complete(self, query):
        self.queries.put_nowait(query)
        answer = self.answer
        if self.held:
            release = asyncio.get_running_loop().create_future()
            self.waiting.append(release)
            try:
                answer = await release
            except asyncio.CancelledError:
                self.withdrawn.append(query)
                raise
        return Draft(answer, "model", request_id=7) if answer is not None else None

    def opened(self, session, language):
        self.opened_languages.append(language)

    def accepted(self, session, request_id, chars):
        self.acceptances.append((request_id, chars))

    def disconnected(self, session):
        self.gone.append(session)

    def status(self):
        return self.state

    def watch(self, listener):
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def become(self, status):
        self.state = status
        for listener in tuple(self.listeners):
            listener(status)


def run(scenario, tmp_path, assistant=None, **options):
    """Play a scenario of one editor, connected and ready, and its assistant."""
    assistant = assistant or Scripted()

    async def body():
        async with serving(assistant, tmp_path, **options) as (connect, _):
            editor = await connect()
            await editor.initialize()
            await scenario(editor, assistant)

    asyncio.run(asyncio.wait_for(body(), 20))
