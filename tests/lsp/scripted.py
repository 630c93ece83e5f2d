"""An assistant that answers from a script, and holds answers back until a test lets them go."""

from __future__ import annotations

import asyncio

from lsp.assistant import Draft, Status


class Scripted:
    """Answers each query with `answer`. While `held`, an answer waits for `release`."""

    def __init__(self, answer=""):
        self.answer = answer
        self.held = False
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
