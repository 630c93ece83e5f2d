"""What to show: the look-up's text or the model's, or neither.

The embedded model is small: alone it is right less often than the look-up, but it knows how sure it is, so
`engines.embedded.gate` weighs the two. A real model is believed; the look-up only goes before it where it is
all but certain, and stands in for it where it has nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engines.embedded.gate import Drafted, best_of, choose, keep_fitting
from engines.lookup import SHOWN_ABOVE, Found
from lsp.assistant import Query

CERTAIN_ABOVE = 0.9


class Origin(StrEnum):
    """Who wrote a text."""

    MODEL = "model"
    LOOK_UP = "look-up"


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote for a request; empty where it could not."""

    text: str = ""
    logprob: float = 0.0
    """Of all tokens together."""
    n_tokens: int = 0
    model: str = ""
    request_id: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that may be shown."""

    text: str
    origin: Origin


def likely(found: Found | None, *, above: float = SHOWN_ABOVE) -> list[Candidate]:
    """The look-up's text, if it is probable enough."""
    if found is None or found.confidence < above:
        return []
    return [Candidate(found.text, Origin.LOOK_UP)]


def prefer_model(found: Found | None, written: Written) -> list[Candidate]:
    """The model's text, and the look-up's should nothing be left of it."""
    return [Candidate(written.text, Origin.MODEL), *likely(found)]


def weigh(query: Query, found: Found | None, written: Written) -> list[Candidate]:
    """The text of the more believable witness; whoever asks by a key gets it however weak it is."""
    drafted = _drafted(written) if written.n_tokens else None
    found, drafted = keep_fitting(
        found, drafted, prefix=query.prefix, suffix=query.suffix, language=query.language
    )
    best = best_of(found, drafted) if query.invoked else choose(found, drafted)
    if best is None:
        return []
    by_model = best.source in {"model", "both"}
    return [Candidate(best.text, Origin.MODEL if by_model else Origin.LOOK_UP)]


def _drafted(written: Written) -> Drafted:
    line = written.text.partition("\n")[0]
    mean = written.logprob / written.n_tokens
    return Drafted(line, written.logprob, mean, written.n_tokens)
