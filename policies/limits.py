"""Every bound the scheduler keeps, by name. Over one of them, the caller is told which."""

from __future__ import annotations

from dataclasses import dataclass

from policies.request import Class


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on queues, memory, retries and waits. Times are seconds, sizes bytes."""

    memory_bytes: int = 1 << 62
    """What all resident models may use together, until `MemoryChanged` says otherwise."""
    queue_max: int = 512
    """Requests that may wait, of all classes."""
    queue_class_max: int = 256
    """Requests that may wait in one class."""
    neighbour_lines: int = 3
    """A newer completion supersedes an older one at most this many lines away."""
    setbacks_max: int = 8
    """How often a request may lose its sequence through no wish of ours before it fails."""
    deaths_max: int = 3
    """How often a worker may die within `deaths_window_s`, with no step between, before it is left alone."""
    deaths_window_s: float = 60.0
    back_off_s: float = 30.0
    """How long a model that keeps dying is left alone; requests for it fail at once meanwhile."""
    chains_idle_max: int = 256
    """Runs of chains that are remembered between two of their calls; beyond it the longest idle is forgotten."""
    chain_idle_s: float = 60.0
    """How long each of them is."""
    drain_s: float = 5.0
    """How long a model keeps taking new work as urgent as that which waits for its memory."""
    drain_lesser_s: float = 60.0
    """The same, when what waits is background or speculative."""
    settle_s: float = 10.0
    """How long a model must have been idle before background or speculative work may displace it."""

    patience_s: float = 60.0
    """How long background work waits for a sequence before it has a turn that only keystrokes go before."""
    turn_s: float = 5.0
    """How long that turn lasts: it makes way for nobody."""
    rest_s: float = 1.0
    """While another model serves a keystroke, lesser work makes at least one step in this time."""

    def drain_for(self, waiting: Class) -> float:
        """How long new work may hold a model whose memory a request of this class waits for."""
        return self.drain_s if waiting < Class.BACKGROUND else self.drain_lesser_s

    def settle_for(self, waiting: Class) -> float:
        """How long a model must have been idle before a request of this class may displace it."""
        return 0.0 if waiting < Class.BACKGROUND else self.settle_s
