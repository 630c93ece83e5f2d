"""What a request is to the policies: its kind, its class, its promise, and where in a document it stands.

Values only. Text never comes here: sizes, times and hashes do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from policies.link import Link


class Kind(StrEnum):
    """What a caller wants. The class, and with it the promise, follows from the kind unless told otherwise."""

    COMPLETE = "complete"  # ghost text at the cursor
    POPUP = "popup"  # an item in the completion menu
    CHAT = "chat"
    GENERATE = "generate"  # a raw prompt continued
    EXPLAIN = "explain"
    FIX = "fix"
    TRANSLATE = "translate"
    SUMMARISE = "summarise"
    INDEX = "index"
    EMBED = "embed"  # the vector of a text
    WARM = "warm"  # evaluate into the cache, answer nothing
    AHEAD = "ahead"  # a completion for the state that accepting the last one would make


class Class(IntEnum):
    """How urgent a request is; smaller goes first."""

    INTERACTIVE = 0
    FOREGROUND = 1
    DEFERRED = 2
    BACKGROUND = 3
    SPECULATIVE = 4

    @property
    def label(self) -> str:
        """The name in status documents, logs and headers."""
        return self.name.lower()


CLASS_OF: dict[Kind, Class] = {
    Kind.COMPLETE: Class.INTERACTIVE,
    Kind.POPUP: Class.INTERACTIVE,
    Kind.CHAT: Class.FOREGROUND,
    Kind.GENERATE: Class.FOREGROUND,
    Kind.EXPLAIN: Class.FOREGROUND,
    Kind.FIX: Class.FOREGROUND,
    Kind.TRANSLATE: Class.DEFERRED,
    Kind.SUMMARISE: Class.DEFERRED,
    Kind.INDEX: Class.BACKGROUND,
    Kind.EMBED: Class.BACKGROUND,
    Kind.WARM: Class.SPECULATIVE,
    Kind.AHEAD: Class.SPECULATIVE,
}


@dataclass(frozen=True, slots=True)
class Promise:
    """What a request is promised, in seconds from its arrival; None where nothing is promised."""

    first_token_s: float | None = None
    whole_s: float | None = None
    gap_s: float | None = None
    """The pause between two tokens that one in twenty may exceed."""


PROMISE_OF: dict[Class, Promise] = {
    Class.INTERACTIVE: Promise(first_token_s=0.3, whole_s=1.0),
    Class.FOREGROUND: Promise(first_token_s=1.5, gap_s=0.25),
    Class.DEFERRED: Promise(whole_s=12.0),
    Class.BACKGROUND: Promise(),
    Class.SPECULATIVE: Promise(),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a completion was asked for. A newer one in the same place supersedes an older one.

    `document` is a salted hash; `line` the zero-based line of the cursor. Clients of `/infill` name no
    document: for them `document` is a hash of their address and of the text below the cursor's line.
    """

    document: str
    line: int


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as the scheduler sees it. Ties are broken by `id`, which grows by one a request."""

    id: int
    kind: Kind
    klass: Class
    model: str
    prompt_bytes: int
    tokens_max: int
    client: str
    place: Place | None = None
    promise: Promise = Promise()
    expires_s: float | None = None
    """A limit the client itself sent: seconds after arrival at which the answer is worth nothing to it."""
    link: Link | None = None
    """Its place in a chain, whose promise then stands before its own."""
