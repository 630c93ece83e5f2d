"""What the end of a ticket means to an HTTP client: an answer, or which error."""

from __future__ import annotations

import time
from collections.abc import Sequence

from daemon.http.errors import ApiError
from daemon.http.settings import HttpSettings, Submitter
from daemon.snapshot import ModelSnapshot, Snapshot
from daemon.tickets import Ask, Result
from engines.engine import Chat, Fim, Loaded
from policies.messages import Outcome, Reason
from policies.request import Kind

OVERTAKEN = frozenset({Reason.CLIENT, Reason.NEWER, Reason.STALE, Reason.YIELDED})
"""Ends that are no error: whoever asked has moved on, and may not even read the answer."""

UNASKED = frozenset({Kind.WARM, Kind.AHEAD})

CODE_OF = {
    Reason.EXPIRED: 504,
    Reason.QUEUE_FULL: 429,
    Reason.INVALID: 400,
    Reason.NO_MODEL: 404,
    Reason.NO_ROOM: 503,
    Reason.LOAD_FAILED: 503,
    Reason.SHUTDOWN: 503,
}
"""Whatever is not here is our fault: 500."""

SEEN_S = 1.0

NO_FIM = (
    "Infill is not supported by this model: prefix token is missing. "
    "suffix token is missing. middle token is missing. "
)
NO_CHAT = "Chat is not supported by this model: it has no chat template. Use /v1/completions."


class Judge:
    """Tells good ends from bad ones, and knows the models well enough to say why.

    A snapshot takes most of a millisecond of the loop that serves every key, so what it says of loaded models is
    kept for a second.
    """

    def __init__(self, desk: Submitter, settings: HttpSettings) -> None:
        self._desk = desk
        self._kinds: dict[str, tuple[str, ...]] = {}
        """What each model serves, which never changes; empty until somebody asks."""
        self._seen: dict[str, Loaded] = {}
        self._seen_until_s = 0.0
        self._retry_after = {"Retry-After": str(settings.retry_after_s)}

    def admit(self, ask: Ask) -> None:
        """Raise an ApiError where the model that is named makes vectors and is to write, or the other way round.

        Its engine would refuse as well, but only once it is loaded, and perhaps another one had to go for it.
        """
        if not ask.model:
            return
        self._kinds = self._kinds or {m.name: m.kinds for m in self._desk.snapshot().models}
        able = [name for name, kinds in self._kinds.items() if _serves(kinds, ask.kind)]
        if ask.model not in self._kinds or ask.model in able:
            return
        others = ", ".join(able) or "none"
        if ask.kind is Kind.EMBED:
            message = f"{ask.model} writes text and makes no vectors; configured that do: {others}"
        else:
            message = f"{ask.model} is an embedding model and writes nothing; configured that write: {others}"
        raise ApiError(501, message)

    def infill(self, ask: Ask, result: Result) -> ApiError | None:
        """The error that the end of an `/infill` is, if it is one."""
        return None if nothing_to_show(ask, result) else self.text(ask, result)

    def text(self, ask: Ask, result: Result) -> ApiError | None:
        """The error that the end of any other request is, if it is one."""
        partial = result.reason is Reason.EXPIRED and result.text
        good = result.outcome is Outcome.DONE or result.reason in OVERTAKEN or partial
        return None if good else self._error(ask, result)

    def _error(self, ask: Ask, result: Result) -> ApiError:
        reason = result.reason
        if reason is Reason.TOO_LONG:
            return self._too_long(result)
        if reason is Reason.NO_MODEL:
            return no_model(self._desk.snapshot(), ask.model)
        if reason is Reason.INVALID and (lacking := self._lacking(ask, result.model)):
            return ApiError(501, lacking)
        if reason is Reason.QUEUE_FULL:
            return ApiError(429, "the queue is full: try again", headers=self._retry_after)
        return ApiError(CODE_OF.get(reason, 500), result.detail or reason.value)

    def context_tokens(self, model: str) -> int:
        """Cells one request may use in that model; 0 while it is not loaded."""
        loaded = self._loaded(model)
        return loaded.context_tokens if loaded else 0

    def _lacking(self, ask: Ask, model: str) -> str:
        """What the model would have needed for this and has not, in words; empty when that is not why."""
        loaded = self._loaded(model)
        if loaded and isinstance(ask.prompt, Fim) and not loaded.fim:
            return NO_FIM
        if loaded and isinstance(ask.prompt, Chat) and not loaded.chat:
            return NO_CHAT
        return ""

    def _too_long(self, result: Result) -> ApiError:
        prompt_tokens = result.timings.prompt_tokens
        context = self.context_tokens(result.model)
        return ApiError(
            400,
            result.detail
            or f"request ({prompt_tokens} tokens) exceeds the available context size ({context} tokens)",
            kind="exceed_context_size_error",
            extra={"n_prompt_tokens": prompt_tokens, "n_ctx": context},
        )

    def _loaded(self, model: str) -> Loaded | None:
        now = time.monotonic()
        if model not in self._seen or now > self._seen_until_s:
            models = self._desk.snapshot().models
            self._seen = {model.name: model.loaded for model in models if model.loaded}
            self._seen_until_s = now + SEEN_S
        return self._seen.get(model)


def _serves(kinds: Sequence[str], kind: Kind) -> bool:
    """Whether a model of these kinds is of the right sort: one that makes vectors serves nothing else."""
    return Kind.EMBED in kinds if kind is Kind.EMBED else tuple(kinds) != (Kind.EMBED,)


def nothing_to_show(ask: Ask, result: Result) -> bool:
    """Whether the answer to an `/infill` is `200 {}`.

    llama.vim and llama.vscode never drop a connection, and hold the next keystroke until the last one is answered.
    llama.vim ignores `{}`, where it would keep empty or half text for good; llama.vscode shows nothing, where an
    error would pop up.

    1. It ended well: no.
    2. It ran out of time: only if no text came.
    3. It was overtaken: yes.
    4. The queue was full: yes, if nobody waits for it (a warm-up, speculation).
    """
    if result.outcome is Outcome.DONE:  # 1.
        return False
    if result.reason is Reason.EXPIRED:  # 2.
        return not result.text
    if result.reason is Reason.QUEUE_FULL:  # 4.
        return ask.kind in UNASKED
    return result.reason in OVERTAKEN  # 3.


def no_model(snapshot: Snapshot, name: str) -> ApiError:
    """No model has the name that was asked for; or, where none was, none does this."""
    why = "no model has that name" if name else "no model does this: configure one that does"
    names = ", ".join(model.name for model in snapshot.models) or "none"
    return ApiError(404, f"{why}; configured: {names}")


def find(snapshot: Snapshot, name: str) -> ModelSnapshot | None:
    """The model of that name."""
    return next((model for model in snapshot.models if model.name == name), None)
