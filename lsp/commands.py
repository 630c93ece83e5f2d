"""`workspace/executeCommand`: what editors tell when an item was accepted."""

from __future__ import annotations

from lsprotocol import types

from lsp.session import Session
from lsp.suggestion import Suggestion

ACCEPTED = "hearth.accepted"


def accepted_command(suggestion: Suggestion) -> types.Command:
    """The command that an editor runs after it has inserted an item."""
    return types.Command(
        title="Accepted",
        command=ACCEPTED,
        arguments=[suggestion.draft.request_id, suggestion.written],
    )


def accepted(session: Session, arguments: tuple[object, ...]) -> None:
    """`hearth.accepted` [number, characters]; anything else is ignored, as nobody waits for an answer."""
    match arguments:
        case (int(request_id), int(chars)) if chars >= 0:
            session.assistant.accepted(session.name, request_id, chars)
        case _:
            pass
