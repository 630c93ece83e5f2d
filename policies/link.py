"""What a request carries when it is one call of a chain: which chain, which of its calls, and which run of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """A request's place in a chain. `call` counts the chain's calls from 0; `run` is a salted hash of its caller's id."""

    chain: str
    call: int
    run: str
