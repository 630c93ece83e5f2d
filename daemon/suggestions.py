"""The last suggestions of each document: what was typed since may agree with one, and then no model is asked.

Text is kept in memory only, and only so much.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from lsp.assistant import Draft, Query
from lsp.shaping.brackets import CLOSERS

DOCUMENTS_MAX = 64
KEPT_PER_DOCUMENT = 4
TAIL_CHARS = 256
HEAD_CHARS = 64


@dataclass(frozen=True, slots=True)
class _Kept:
    """A draft and where it was written."""

    tail: str
    """The end of the text before the cursor."""
    head: str
    """The beginning of the text after it."""
    draft: Draft

    def rest(self, query: Query) -> Draft | None:
        """The draft with what was typed of it since, if only that was typed and something is left."""
        nearest = len(query.prefix) - len(self.tail) - len(self.draft.text)
        at = query.prefix.rfind(self.tail, max(0, nearest))
        typed = query.prefix[at + len(self.tail) :]
        beginning = at == 0 or len(self.tail) == TAIL_CHARS
        agrees = self.draft.text.startswith(typed) and typed != self.draft.text
        if at < 0 or not beginning or not agrees or _head(query) != self.head:
            return None
        return replace(self.draft, typed=typed)


class Suggestions:
    """A bounded memory: the documents asked in last, and the latest few suggestions of each."""

    def __init__(self) -> None:
        self._documents: OrderedDict[tuple[str, str, bool], tuple[_Kept, ...]] = OrderedDict()

    def recall(self, query: Query) -> Draft | None:
        """The rest of a suggestion that what was typed since agrees with."""
        kept = self._documents.get(_key(query), ())
        return next((rest for one in kept if (rest := one.rest(query))), None)

    def remember(self, query: Query, draft: Draft) -> None:
        """Keep a suggestion, and drop what is oldest."""
        key = _key(query)
        kept = _Kept(query.prefix[-TAIL_CHARS:], _head(query), draft)
        older = self._documents.pop(key, ())
        self._documents[key] = (kept, *older)[:KEPT_PER_DOCUMENT]
        if len(self._documents) > DOCUMENTS_MAX:
            self._documents.popitem(last=False)

    def forget(self, session: str) -> None:
        """Drop all of an editor's."""
        for key in [key for key in self._documents if key[0] == session]:
            del self._documents[key]


def _key(query: Query) -> tuple[str, str, bool]:
    return query.session, query.uri, query.popup


def _head(query: Query) -> str:
    """What follows the cursor; a bracket that the editor closed by itself makes no difference."""
    return query.suffix[:HEAD_CHARS].lstrip(CLOSERS)
