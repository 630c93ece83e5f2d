"""The daemon as the editors' sessions see it: from a query to a draft, the cheapest way first.

1. What was typed since agrees with a suggestion: the rest of it.
2. The look-up is certain, or sure enough while no model could answer: its text.
3. The model that serves the language, through a ticket.
4. Where the model has nothing, or is not sure: the look-up, if it is sure enough.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import aclosing
from hashlib import blake2b
from typing import Protocol

from daemon.acceptance import Acceptance, Tally
from daemon.choice import is_certain, is_sure, is_worth_showing
from daemon.config import EMBEDDED_NAME
from daemon.fim_window import fim_of
from daemon.orchestrator import Orchestrator
from daemon.snapshot import ModelPhase, ModelSnapshot
from daemon.status_board import StatusBoard
from daemon.suggestions import Suggestions
from daemon.tickets import Ask, Ticket
from engines.lookup import Found, look_up
from lsp.assistant import Draft, Query, Status
from lsp.shaping import GHOST, MENU, shape
from lsp.shaping.place import Place as TextPlace
from lsp.shaping.stop_at_block_end import block_ended
from policies.messages import Outcome
from policies.request import Kind, Place

TOKENS_MAX = 64
POPUP_TOKENS_MAX = 24


class LookUp(Protocol):
    """`engines.lookup.look_up`, or a test's."""

    def __call__(self, prefix: str, suffix: str, *, others: Sequence[str] = ()) -> Found | None:
        """The rest of a line from where the same text stood before."""


class DaemonAssistant:
    """Implements `lsp.assistant.Assistant`. `gpu`: whether this build is for a graphics processor."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        *,
        tokens_max: int = TOKENS_MAX,
        gpu: bool = False,
        look_up: LookUp = look_up,
    ) -> None:
        self._orchestrator = orchestrator
        self._tokens_max = tokens_max
        self._look_up = look_up
        self._salt = secrets.token_bytes(16)
        self._board = StatusBoard(orchestrator, gpu=gpu)
        self._suggestions = Suggestions()
        self._acceptance = Acceptance()

    @property
    def acceptance(self) -> dict[str, Tally]:
        """How many suggestions were shown and accepted, by who wrote them."""
        return dict(self._acceptance.tallies)

    async def complete(self, query: Query) -> Draft | None:
        """Answer a completion; cancelling the awaiting task withdraws the request."""
        if rest := self._suggestions.recall(query):  # 1
            return rest
        found = self._look_up(
            query.prefix, query.suffix, others=[other.text for other in query.related]
        )
        model = self._board.model_for(query.language)
        if found and not query.invoked and _is_instant(found, model):  # 2
            return self._keep_found(query, found)
        if model and (draft := await self._write(query, model)):  # 3
            return draft
        return self._keep_found(query, found) if found and is_worth_showing(found) else None  # 4

    def opened(self, session: str, language: str) -> None:
        """A document of this language was opened: its model may be wanted soon."""
        self._board.opened(session, language)

    def accepted(self, session: str, request_id: int, chars: int) -> None:  # noqa: ARG002 - the protocol's
        """A suggestion was accepted by the user."""
        self._acceptance.accepted(request_id, chars)

    def disconnected(self, session: str) -> None:
        """The editor is gone: withdraw whatever it still waits for."""
        self._orchestrator.withdraw_client(session)
        self._suggestions.forget(session)
        self._board.disconnected(session)

    def status(self) -> Status:
        """The state now."""
        return self._board.status()

    def watch(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Call the listener at every change of state; the answer ends that."""
        return self._board.watch(listener)

    # --- the model ----------------------------------------------------------------------------------

    async def _write(self, query: Query, model: ModelSnapshot) -> Draft | None:
        """What the model writes, if it is worth showing."""
        ticket = self._orchestrator.submit(self._ask(query, model))
        text, logprob = await _read(ticket, _text_place(query))
        gated = model.name == EMBEDDED_NAME and not query.invoked
        if gated and not is_sure(logprob):
            return None
        return self._keep(query, Draft(text, "model", ticket.model, ticket.id))

    def _ask(self, query: Query, model: ModelSnapshot) -> Ask:
        fim = fim_of(query, model.prefill_tokens_per_s)
        document = blake2b(f"{query.session}\n{query.uri}".encode(), key=self._salt, digest_size=16)
        return Ask(
            kind=Kind.POPUP if query.popup else Kind.COMPLETE,
            prompt=fim,
            tokens_max=min(self._tokens_max, POPUP_TOKENS_MAX) if query.popup else self._tokens_max,
            client=query.session,
            language=query.language,
            place=Place(document.hexdigest(), query.line),
            stops=("\n",) if fim.single_line else (),
            logprobs=model.name == EMBEDDED_NAME,
        )

    # --- what is shown ------------------------------------------------------------------------------

    def _keep_found(self, query: Query, found: Found) -> Draft | None:
        number = self._acceptance.number_look_up()
        return self._keep(query, Draft(found.text, "look-up", request_id=number))

    def _keep(self, query: Query, draft: Draft) -> Draft | None:
        """Remember what the editor will show of it; None if that is nothing."""
        text = shape(draft.text, _text_place(query), MENU if query.popup else GHOST)
        if not text:
            return None
        kept = Draft(text, draft.origin, draft.model, draft.request_id)
        self._suggestions.remember(query, kept)
        self._acceptance.shown(kept.origin)
        return kept


def _is_instant(found: Found, model: ModelSnapshot | None) -> bool:
    """Whether to show the look-up's text without asking any model."""
    answers = model is not None and model.phase is ModelPhase.READY
    alone = not answers or (model is not None and model.name == EMBEDDED_NAME)
    return is_worth_showing(found) if alone else is_certain(found)


async def _read(ticket: Ticket, place: TextPlace) -> tuple[str, float]:
    """The text up to the end of the block, and its log-probability; leaving early ends the request."""
    text, logprob = "", 0.0
    async with aclosing(ticket.pieces()) as pieces:
        async for piece in pieces:
            text += piece.text
            logprob += piece.logprob
            if block_ended(text, place):
                return text, logprob
    result = await ticket.result()
    return (text, logprob) if result.outcome is Outcome.DONE else ("", logprob)


def _text_place(query: Query) -> TextPlace:
    return TextPlace(query.prefix, query.suffix, query.language)
