"""`textDocument/inlineCompletion`: ghost text.

null leaves the editor's present ghost alone and answers what was overtaken; an empty list hides it.
Neovim 0.12 neither cancels nor checks the version, so what is stale must be stopped here.
"""

from __future__ import annotations

from lsprotocol import types

from lsp.commands import accepted_command
from lsp.document import Document
from lsp.session import Session
from lsp.suggestion import Selected, Suggestion
from lsp.wire_range import range_of


async def inline_completion(
    session: Session, params: types.InlineCompletionParams
) -> types.InlineCompletionList | None:
    """Answer with one item, an empty list, or null."""
    context, uri = params.context, params.text_document.uri
    document = session.documents.get(uri)
    if document is None:
        return types.InlineCompletionList(items=[])
    selected = None
    if context.selected_completion_info:
        selected = _selected(context.selected_completion_info, params.position, document)
        if selected is None:
            return types.InlineCompletionList(items=[])
    invoked = context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
    asked = session.ask(uri, params.position, invoked=invoked, selected=selected)
    assert asked is not None, "the document was found above"
    suggestion = await session.suggest(asked)
    if suggestion is None:
        return None
    return types.InlineCompletionList(items=_items(suggestion, document))


def _selected(
    info: types.SelectedCompletionInfo, cursor: types.Position, document: Document
) -> Selected | None:
    """The selected item, if it replaces what is around the cursor on its line."""
    start, end, spot = (
        document.spot(info.range.start),
        document.spot(info.range.end),
        document.spot(cursor),
    )
    if start.line == spot.line == end.line and start.column <= spot.column <= end.column:
        return Selected(text=info.text, start=start.column, end=end.column)
    return None


def _items(suggestion: Suggestion, document: Document) -> list[types.InlineCompletionItem]:
    if not suggestion.text:
        return []
    item = types.InlineCompletionItem(
        insert_text=suggestion.text,
        range=range_of(suggestion, document),
        command=accepted_command(suggestion),
    )
    return [item]
