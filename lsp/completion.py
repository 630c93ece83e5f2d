"""`textDocument/completion`: one item in the menu, for editors that have no ghost text.

The item begins at the word's start because editors filter by what stands there, and sorts low so as not
to stand in the way of the language's own server.
"""

from __future__ import annotations

from lsprotocol import types

from lsp.commands import accepted_command
from lsp.document import Document
from lsp.session import Session
from lsp.suggestion import Suggestion
from lsp.wire_range import range_of

LABEL_CHARS_MAX = 80
SORTS_LAST = "\U0010fffd"


async def completion(session: Session, params: types.CompletionParams) -> types.CompletionList:
    """Answer with one item or none; never complete, so that the next key asks again."""
    asked = session.ask(params.text_document.uri, params.position, popup=True)
    suggestion = await session.suggest(asked) if asked else None
    items = [_item(suggestion, asked.document)] if asked and suggestion and suggestion.text else []
    return types.CompletionList(is_incomplete=True, items=items)


def _item(suggestion: Suggestion, document: Document) -> types.CompletionItem:
    text = suggestion.text
    return types.CompletionItem(
        label=text if len(text) <= LABEL_CHARS_MAX else text[: LABEL_CHARS_MAX - 1] + "…",
        kind=types.CompletionItemKind.Text,
        detail="Hearth",
        sort_text=SORTS_LAST,
        filter_text=text,
        text_edit=types.TextEdit(range=range_of(suggestion, document), new_text=text),
        command=accepted_command(suggestion),
    )
