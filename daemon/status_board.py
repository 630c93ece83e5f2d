"""What the editors are told of the models, and which model serves a language: the snapshot, kept fresh."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from daemon.editor_status import serving, status_of
from daemon.orchestrator import Orchestrator
from daemon.snapshot import ModelSnapshot
from lsp.assistant import Status
from policies.view import Phase

NEWS_S = 0.1
"""Changes are told together, this long after the first of them."""


class StatusBoard:
    """Takes a snapshot when something has changed, and tells every editor whose line it changes."""

    def __init__(self, orchestrator: Orchestrator, *, gpu: bool) -> None:
        self._orchestrator = orchestrator
        self._gpu = gpu
        self._snapshot = orchestrator.snapshot()
        self._languages: dict[str, dict[str, None]] = {}
        self._listeners: dict[int, Callable[[Status], None]] = {}
        self._listener_next = 0
        self._news: asyncio.TimerHandle | None = None
        orchestrator.watch(self._changed)

    def model_for(self, language: str) -> ModelSnapshot | None:
        """The model that serves a language's completions."""
        return serving(self._snapshot.models, language)

    def opened(self, session: str, language: str) -> None:
        """Have the language's model loaded, if that takes memory from nobody."""
        self._languages.setdefault(session, {})[language] = None
        model = self.model_for(language)
        if model and model.phase is Phase.ABSENT:
            self._orchestrator.preload(model.name)
        self._changed()

    def disconnected(self, session: str) -> None:
        """Its languages no longer count."""
        self._languages.pop(session, None)
        self._changed()

    def status(self) -> Status:
        """The state now."""
        languages = sorted({name for spoken in self._languages.values() for name in spoken})
        return status_of(self._snapshot, languages, gpu=self._gpu)

    def watch(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Call the listener after changes; the answer ends that."""
        number, self._listener_next = self._listener_next, self._listener_next + 1
        self._listeners[number] = listener

        def unwatch() -> None:
            self._listeners.pop(number, None)

        return unwatch

    def _changed(self) -> None:
        if self._news is None:
            self._news = asyncio.get_running_loop().call_later(NEWS_S, self._tell)

    def _tell(self) -> None:
        self._news = None
        self._snapshot = self._orchestrator.snapshot()
        status = self.status()
        for listener in tuple(self._listeners.values()):
            listener(status)
