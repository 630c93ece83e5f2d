"""What a choice of who leaves memory sees and says. Values only; those who choose are in `policies/cace.py` and beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from policies.request import Class, Kind


@dataclass(frozen=True, slots=True)
class Resident:
    """A model that holds memory and may be asked to give it back, with what is known of it."""

    name: str
    need_bytes: int
    used_s: float
    """When a request last started or stopped on it."""
    loaded_s: float
    """When it became ready."""
    served: int = 0
    """Requests that it has answered since."""
    reload_s: float = 1.0
    """What loading it again is expected to take, its file being in the page cache or not."""
    busy: Class | None = None
    """The most urgent class that runs on it; None: it is idle."""
    uses: float = 0.0
    """Requests it was given, of which the past fades."""
    kinds: tuple[tuple[Kind, float], ...] = ()
    """What these were: the share of each kind."""
    tokens: float = 0.0
    """Output tokens that an answer of it is expected to have."""
    kept_s: float = 0.0
    """Seconds it would take to compute what its sequences hold, which leaving would lose."""
    pinned: bool = False
    keep_alive_s: float = 300.0
    """How long it would be kept idle where idle models are unloaded."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Who needs the memory, and which models are needed next as far as anybody knows."""

    model: str
    """The one that is to be loaded."""
    by: Class
    queued: tuple[str, ...] = ()
    """The models of those who wait, in the order in which they will be served."""
    chains: tuple[str, ...] = ()
    """The models of the next calls of chains under way, soonest first."""
    editors: frozenset[str] = frozenset()
    """The models that open documents would use."""
    likely: Mapping[str, float] = field(default_factory=dict)
    """How soon each model is used again, learnt: 1 at once, 0 never (`policies/foresight.py`)."""


@dataclass(frozen=True, slots=True)
class Line:
    """One model in a score sheet: its terms by name, and what they come to."""

    name: str
    terms: tuple[tuple[str, float], ...]
    total: float
    leaves: bool
    kept_for: str = ""
    """Why it could not leave, whatever its total."""


@dataclass(frozen=True, slots=True)
class ScoreSheet:
    """Why these models left and not others. In `loss` sheets little leaves, in `score` sheets much does."""

    policy: str
    measure: str
    at_s: float
    shortfall_bytes: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Who leaves, in the order of their names' appearance among the residents, and why."""

    victims: tuple[str, ...]
    sheet: ScoreSheet


class Eviction(Protocol):
    """A way of choosing who leaves memory. A question: it changes nothing."""

    def choose(
        self, residents: Sequence[Resident], shortfall_bytes: int, demand: Demand, now: float
    ) -> Choice | None:
        """Who leaves so that at least that much comes free; None where those who may leave hold too little."""
        ...
