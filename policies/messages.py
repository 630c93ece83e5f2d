"""The two closed unions: events, which are facts, and actions, which are wishes.

Frozen values that hold sizes, kinds and times; never text, futures, callbacks or handles.

    outer events (people, the machine)     Arrived Cancelled Foreseen MemoryChanged Tick
    inner events (what actions led to)     Prepared Stepped Stopped Loaded LoadFailed Unloaded EngineDied
    actions                                Start Stop Park End Load Unload Pause Unpause

`End` is the one way in which a request ends, and there is exactly one for each (DESIGN.md, invariant 2).
A running request that is withdrawn gets `Stop` and `End` together: its caller is answered at once, while its
sequence is free only when `Stopped` arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from policies.request import Request


class Outcome(StrEnum):
    """How a request ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    REFUSED = "refused"
    FAILED = "failed"


class Reason(StrEnum):
    """Why it ended so. The edges turn these into HTTP and LSP answers."""

    COMPLETE = "complete"  # the engine finished
    ENOUGH = "caller has all that it can use"  # the end of a block: done, though the engine was not
    CLIENT = "client"  # the caller withdrew, or went away
    NEWER = "newer request for the same place"
    STALE = "document changed"
    YIELDED = "gave way to more urgent work"
    EXPIRED = "limit sent by the client has passed"
    QUEUE_FULL = "queue is full"
    TOO_LONG = "prompt does not fit the model's context"
    INVALID = "the engine could not accept the request"
    NO_MODEL = "no such model"
    NO_ROOM = "the model can never fit the memory budget"
    LOAD_FAILED = "model could not be loaded"
    ENGINE = "engine failed"
    POISON = "worker died twice on this request"
    SHUTDOWN = "daemon is stopping"


# --- outer events -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request entered the daemon."""

    request: Request


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Its caller no longer wants it (or its document changed under it)."""

    request_id: int
    reason: Reason = Reason.CLIENT


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Somebody will need this model soon; it is loaded only where that takes memory from nobody."""

    model: str


@dataclass(frozen=True, slots=True)
class MemoryChanged:
    """What models may use on this machine has changed; bytes."""

    budget_bytes: int


@dataclass(frozen=True, slots=True)
class Tick:
    """The time named by `next_wakeup` has come (or not quite: an early tick is harmless)."""


# --- inner events -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prepared:
    """The worker has tokenised a prompt: how long it is, and how much of it is already in the cache."""

    request_id: int
    prompt_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Stepped:
    """One step of a worker: tokens emitted per request, prompt tokens evaluated, and what it took."""

    model: str
    emitted: tuple[tuple[int, int], ...]
    prefilled_tokens: int
    duration_s: float
    used_cells: int


class Halt(StrEnum):
    """Why an engine stopped working on a request."""

    DONE = "done"
    STOPPED = "stopped"  # it was asked to
    INVALID = "invalid"  # prompt too long, bad parameter: the request's fault
    FAILED = "failed"  # the engine's fault
    PARKED = "parked"  # it was asked to make way, and what it had computed is kept


@dataclass(frozen=True, slots=True)
class Stopped:
    """A sequence is free again: the engine no longer works on this request."""

    request_id: int
    halt: Halt
    too_long: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model is resident and takes requests."""

    model: str
    sequences: int
    load_s: float
    used_bytes: int


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """A model could not be loaded; trying again will not help until its file or configuration changes."""

    model: str


@dataclass(frozen=True, slots=True)
class Unloaded:
    """A worker has exited as it was asked to, and its memory is free."""

    model: str


@dataclass(frozen=True, slots=True)
class EngineDied:
    """A worker is gone without being asked. `inside` are the requests of the step it died in."""

    model: str
    inside: tuple[int, ...]


OuterEvent: TypeAlias = Arrived | Cancelled | Foreseen | MemoryChanged | Tick
InnerEvent: TypeAlias = Prepared | Stepped | Stopped | Loaded | LoadFailed | Unloaded | EngineDied
Event: TypeAlias = OuterEvent | InnerEvent


# --- actions ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Give the request to its model's engine. `alone`: nothing else may share its steps (after a death).

    `slack_s`: what is left until its first token is late; `gap_s`: the longest pause it was promised after that.
    """

    request_id: int
    model: str
    urgency: float
    slack_s: float
    gap_s: float = 60.0
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Take the request back from its engine."""

    request_id: int
    model: str


@dataclass(frozen=True, slots=True)
class Park:
    """Take the request back from its engine for a while, and keep what it has computed."""

    request_id: int
    model: str


@dataclass(frozen=True, slots=True)
class End:
    """Answer the caller; the request is over."""

    request_id: int
    outcome: Outcome
    reason: Reason


@dataclass(frozen=True, slots=True)
class Load:
    """Bring the model into memory."""

    model: str


@dataclass(frozen=True, slots=True)
class Unload:
    """Take the model out of memory."""

    model: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Let a model's work less urgent than `below` rest, but for a step of it once in `progress_s` seconds."""

    model: str
    below: float
    progress_s: float


@dataclass(frozen=True, slots=True)
class Unpause:
    """Let all of a model's work go on."""

    model: str


Action: TypeAlias = Start | Stop | Park | End | Load | Unload | Pause | Unpause
