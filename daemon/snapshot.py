"""What the daemon looks like now, as plain values: `/status`, `hearth status` and the editors' status lines are made of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from engines.engine import Loaded, Usage
from policies.request import Class
from policies.view import Phase


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """One configured model. Speeds are moving averages over its recent steps, 0 where none was made."""

    name: str
    path: str
    kinds: tuple[str, ...]
    languages: tuple[str, ...]
    phase: Phase
    progress: float | None
    detail: str
    """Why it failed, or what it waits for; empty when there is nothing to say."""
    loaded: Loaded | None
    usage: Usage
    running: int
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    deaths: int


@dataclass(frozen=True, slots=True)
class LatencySnapshot:
    """Latencies of one class over the last `count` finished requests kept (at most 1,000); milliseconds."""

    count: int
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    e2e_p50_ms: float | None
    e2e_p95_ms: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole picture."""

    models: tuple[ModelSnapshot, ...]
    queued: dict[Class, int] = field(default_factory=dict)
    running: dict[Class, int] = field(default_factory=dict)
    latency: dict[Class, LatencySnapshot] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    """How many requests ended so, by outcome, since the start."""
    memory_budget_bytes: int = 0
    memory_used_bytes: int = 0
