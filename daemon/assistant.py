"""The daemon as the editors' sessions see it: from a query to a draft, the cheapest way first.

1. What was typed since agrees with a suggestion: the rest of it.
2. The look-up is certain, or likely while no model could answer: its text.
3. The embedded model serves the language: it and the look-up are weighed against each other.
4. A real model serves the language: its text; where it has none, the look-up's if that is likely.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import Protocol

from daemon.acceptance import Acceptance, Tally
from daemon.choice import CERTAIN_ABOVE, Candidate, Origin, Written, likely, prefer_model, weigh
from daemon.config import EMBEDDED_NAME
from daemon.fim_window import Spare, Window, fim_of, readable_chars
from daemon.ignored import GitIgnored
from daemon.neighbours import Neighbours
from daemon.orchestrator import Orchestrator
from daemon.snapshot import ModelSnapshot
from daemon.status_board import StatusBoard
from daemon.suggestions import Suggestions
from daemon.tickets import Ask, Piece
from engines.lookup import Found, look_up
from lsp.assistant import Draft, Query, Status
from lsp.shaping import GHOST, MENU, shape
from lsp.shaping.place import Place as TextPlace
from lsp.shaping.stop_at_block_end import block_ended
from policies.messages import Outcome, Reason
from policies.request import Kind, Place
from policies.view import Phase

TOKENS_MAX = 64
POPUP_TOKENS_MAX = 24
EMBEDDED_CHARS = 2_000
"""What the embedded model is given: more text makes its answers later and no better (MODEL_CARD.md)."""


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
        window: Window | None = None,
        gpu: bool = False,
        look_up: LookUp = look_up,
        ignored: Callable[[str], bool] | None = None,
    ) -> None:
        self._orchestrator = orchestrator
        self._tokens_max = tokens_max
        self._window = window or Window()
        self._look_up = look_up
        self._ignored = ignored or GitIgnored()
        self._salt = secrets.token_bytes(16)
        self._board = StatusBoard(orchestrator, gpu=gpu)
        self._suggestions = Suggestions()
        self._neighbours = Neighbours()
        self._spare = Spare()
        self._acceptance = Acceptance()

    @property
    def acceptance(self) -> dict[str, Tally]:
        """How many suggestions were shown and accepted, by who wrote them."""
        return dict(self._acceptance.tallies)

    async def complete(self, query: Query) -> Draft | None:
        """Answer a completion; cancelling the awaiting task withdraws the request."""
        if rest := self._suggestions.recall(query):  # 1
            return rest
        allowed = tuple(other for other in query.related if not self._ignored(other.path))
        query = replace(query, related=allowed)
        found = self._look_up(query.prefix, query.suffix, others=[one.text for one in allowed])
        model = self._board.model_for(query.language)
        instant = [] if query.invoked else _instant(found, model)
        if kept := self._keep_first(query, instant, Written()):  # 2
            return kept
        written = await self._write(query, model) if model else Written()
        if written is None:
            return None  # overtaken, or withdrawn
        choose = partial(weigh, query) if _is_embedded(model) else prefer_model  # 3, 4
        return self._keep_first(query, choose(found, written), written)

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
        self._neighbours.forget(session)
        self._board.disconnected(session)

    def status(self) -> Status:
        """The state now."""
        return self._board.status()

    def watch(self, listener: Callable[[Status], None]) -> Callable[[], None]:
        """Call the listener at every change of state; the answer ends that."""
        return self._board.watch(listener)

    # --- the model ----------------------------------------------------------------------------------

    async def _write(self, query: Query, model: ModelSnapshot) -> Written | None:
        """What the model writes, up to the end of the block; None when nobody waits for it any more."""
        ticket = self._orchestrator.submit(self._ask(query, model))
        place = _text_place(query)
        written = Written(model=ticket.model, request_id=ticket.id)
        async with aclosing(ticket.pieces()) as pieces:
            async for piece in pieces:
                written = _longer(written, piece)
                if block_ended(written.text, place):
                    ticket.cancel(Reason.ENOUGH)
                    return written
        match (await ticket.result()).outcome:
            case Outcome.DONE:
                return written
            case Outcome.SUPERSEDED | Outcome.CANCELLED:
                return None
            case Outcome.REFUSED | Outcome.FAILED:
                return Written()

    def _ask(self, query: Query, model: ModelSnapshot) -> Ask:
        embedded = _is_embedded(model)
        chars = EMBEDDED_CHARS if embedded else readable_chars(model.prefill_tokens_per_s)
        beside = self._neighbours.beside(query, 0 if embedded else self._spare.chars(model))
        fim = fim_of(query, self._window, chars, beside=beside, one_line=embedded)
        document = blake2b(f"{query.session}\n{query.uri}".encode(), key=self._salt, digest_size=16)
        return Ask(
            kind=Kind.POPUP if query.popup else Kind.COMPLETE,
            prompt=fim,
            tokens_max=min(self._tokens_max, POPUP_TOKENS_MAX) if query.popup else self._tokens_max,
            client=query.session,
            language=query.language,
            place=Place(document.hexdigest(), query.line),
            stops=("\n",) if fim.single_line else (),
            logprobs=embedded,
        )

    # --- what is shown ------------------------------------------------------------------------------

    def _keep_first(
        self, query: Query, candidates: list[Candidate], written: Written
    ) -> Draft | None:
        """The first candidate of which the editor will show anything; it is remembered as it is shown."""
        for candidate in candidates:
            text = shape(candidate.text, _text_place(query), MENU if query.popup else GHOST)
            if text:
                draft = self._draft(text, candidate.origin, written)
                self._suggestions.remember(query, draft)
                self._acceptance.shown(draft.origin)
                return draft
        return None

    def _draft(self, text: str, origin: Origin, written: Written) -> Draft:
        if origin is Origin.MODEL:
            return Draft(text, origin, written.model, written.request_id)
        return Draft(text, origin, request_id=self._acceptance.number_look_up())


def _instant(found: Found | None, model: ModelSnapshot | None) -> list[Candidate]:
    """The look-up's text, where it is shown without asking any model."""
    if model is None or model.phase is not Phase.READY:
        return likely(found)
    return [] if _is_embedded(model) else likely(found, above=CERTAIN_ABOVE)


def _is_embedded(model: ModelSnapshot | None) -> bool:
    return model is not None and model.name == EMBEDDED_NAME


def _longer(written: Written, piece: Piece) -> Written:
    return replace(
        written,
        text=written.text + piece.text,
        logprob=written.logprob + piece.logprob,
        n_tokens=written.n_tokens + len(piece.tokens),
    )


def _text_place(query: Query) -> TextPlace:
    return TextPlace(query.prefix, query.suffix, query.language)
