"""What a choice of who leaves memory sees and says. Values only; who chooses is in `cace.py` and `evictions_plain.py`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from policies.request import Class


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
    """Seconds that loading it again is expected to take, its file being in the page cache or not (`policies/reloads.py`)."""
    busy: Class | None = None
    """The most urgent class that runs on it; None: it is idle."""
    uses: float = 0.0
    """Requests it was given, of which the past fades."""
    classes: tuple[tuple[Class, float], ...] = ()
    """What these were: the share of each class."""
    tokens: float = 0.0
    """Output tokens that an answer of it is expected to have."""
    kept_s: float = 0.0
    """Seconds it would take to compute again what its sequences hold and leaving would lose."""
    pinned: bool = False
    keep_alive_s: float = 300.0
    """How long it would be kept idle where idle models are unloaded."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Who needs the memory, and which models are needed next, as far as anybody knows."""

    model: str
    """The one that is to be loaded."""
    by: Class
    since_s: float = -math.inf
    """When the first of those who wait for it came."""
    queued: tuple[str, ...] = ()
    """The models of all who wait, in the order in which they will be served."""
    chains: tuple[str, ...] = ()
    """The models of the next calls of chains under way, soonest first."""
    editors: frozenset[str] = frozenset()
    """The models that open documents would use."""
    habit: Mapping[str, float] = field(default_factory=dict)
    """How soon each is used again by the pauses it makes: 1 at once, 0 never."""
    order: Mapping[str, float] = field(default_factory=dict)
    """How soon each is used again by the order in which models follow on each other."""


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
    """Why these leave and not others: who leaves has the smallest sum of `measure`, or comes first by it."""

    policy: str
    measure: str
    at_s: float
    shortfall_bytes: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Who leaves, and why."""

    victims: tuple[str, ...]
    sheet: ScoreSheet
    from_s: float = -math.inf
    """They leave from then on: until then who waits loses less by waiting than they would by leaving."""


class Eviction(Protocol):
    """A way of choosing who leaves memory. A question: it changes nothing."""

    def choose(
        self, residents: Sequence[Resident], shortfall_bytes: int, demand: Demand, now: float
    ) -> Choice | None:
        """Who leaves so that at least that much comes free; None where those who may leave hold too little."""
        ...
