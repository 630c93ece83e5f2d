"""The `/status/requests` documents: what `hearth explain` shows. Units end the names; times count from arrival.

`schema_version` grows when a field changes its meaning or goes; new fields do not change it.
"""

from __future__ import annotations

from daemon.http.schemas_status import SCHEMA_VERSION, Section


class PromiseMade(Section):
    """What it was promised; null where nothing was."""

    first_token_ms: float | None
    whole_ms: float | None
    gap_ms: float | None


class MomentTold(Section):
    """Something that happened to a request. `by` is the request for whose sake."""

    at_ms: float
    what: str
    detail: str
    by: int | None


class RequestTold(Section):
    """One request as far as the journal knows it; null is what it does not know, or what has not come yet."""

    id: int
    kind: str | None
    klass: str | None
    model: str | None
    client: str | None
    prompt_bytes: int | None
    tokens_max: int | None
    promise: PromiseMade | None
    arrived_ago_s: float | None
    prompt_tokens: int | None
    cached_tokens: int | None
    output_tokens: int
    waited_ms: float
    first_token_ms: float | None
    whole_ms: float | None
    gap_max_ms: float | None
    outcome: str | None
    reason: str | None
    kept: bool | None
    """Whether its promise was kept; null where nothing was promised, or that is not settled."""
    moments: tuple[MomentTold, ...]
    """Of one request only; times count from arrival, or from the first that is known."""


class RequestsTold(Section):
    """The latest requests, the newest last; `decisions` is how many entries the journal holds."""

    schema_version: int = SCHEMA_VERSION
    decisions: int
    requests: tuple[RequestTold, ...]
