"""What an editor shows of the daemon: the notification `hearth/status`, and work-done progress while loading."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import Any, Protocol

from lsprotocol import types

from lsp.assistant import Assistant, Status

STATUS = "hearth/status"
TITLE = "Hearth"


class Peer(Protocol):
    """The sending half of a connection."""

    def notify(self, method: str, params: Any | None = None) -> None:
        """Send a notification."""

    def send_request(
        self, method: str, params: Any | None = None, callback: Callable[[Any], None] | None = None
    ) -> Future[Any]:
        """Send a request."""


class StatusLine:
    """Tells one editor each change of state, once, and never more than a whole per cent of progress at a time."""

    def __init__(self, peer: Peer, assistant: Assistant, *, shows_progress: bool) -> None:
        self._peer = peer
        self._shows_progress = shows_progress
        self._tokens = count(1)
        self._last: Status | None = None
        self._progress: _Progress | None = None
        self._end_watch = assistant.watch(self.show)
        self.show(assistant.status())

    def close(self) -> None:
        """The editor is gone."""
        self._end_watch()

    def show(self, status: Status) -> None:
        """Tell a state, if it is news."""
        status = _whole_per_cent(status)
        if status == self._last:
            return
        self._last = status
        params = {"kind": status.kind, "message": status.message, "progress": status.progress}
        self._peer.notify(STATUS, params)
        if self._shows_progress:
            self._show_progress(status)

    def _show_progress(self, status: Status) -> None:
        if status.kind == "loading":
            if self._progress is None:
                self._progress = _Progress(self._peer, f"hearth-loading-{next(self._tokens)}")
            self._progress.report(status)
        elif self._progress:
            self._progress.end(status)
            self._progress = None


class _Progress:
    """One progress bar. Nothing may be sent to it before the editor has agreed to show it.

    draws:   create ──────────> agreed ── begin ── report ... ── end
    refused: create ──────────> refused (silent from then on)
    """

    def __init__(self, peer: Peer, token: str) -> None:
        self._peer = peer
        self._token = token
        self._latest: Status | None = None
        self._begun = False
        self._ended = False
        create = types.WorkDoneProgressCreateParams(token=token)
        answer = peer.send_request(types.WINDOW_WORK_DONE_PROGRESS_CREATE, create)
        answer.add_done_callback(self._agreed)

    def report(self, status: Status) -> None:
        """Move the bar."""
        self._latest = status
        if self._begun:
            value = types.WorkDoneProgressReport(
                message=status.message, percentage=_percentage(status)
            )
            self._send(value)

    def end(self, status: Status) -> None:
        """Take the bar away, now or as soon as it would come."""
        self._ended = True
        if self._begun:
            self._send(types.WorkDoneProgressEnd(message=status.message))

    def _agreed(self, answer: Future[Any]) -> None:
        if answer.cancelled() or answer.exception() or self._ended or self._latest is None:
            return
        self._begun = True
        begin = types.WorkDoneProgressBegin(
            title=TITLE,
            message=self._latest.message,
            percentage=_percentage(self._latest),
            cancellable=False,
        )
        self._send(begin)

    def _send(
        self,
        value: types.WorkDoneProgressBegin
        | types.WorkDoneProgressReport
        | types.WorkDoneProgressEnd,
    ) -> None:
        self._peer.notify(types.PROGRESS, types.ProgressParams(token=self._token, value=value))


def _percentage(status: Status) -> int | None:
    return None if status.progress is None else round(100 * status.progress)


def _whole_per_cent(status: Status) -> Status:
    if status.progress is None:
        return status
    return Status(status.kind, status.message, round(status.progress, 2))
