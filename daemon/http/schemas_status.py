"""The `/status` document: what `hearth status`, `hearth top` and the dashboard show. Units end the names.

`schema_version` grows when a field changes its meaning or goes; new fields do not change it.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1


class Section(BaseModel):
    """A part of the document."""

    model_config = ConfigDict(frozen=True)


class ModelMemory(Section):
    """What a model uses: of its own, mapped from its file, and on devices."""

    private_bytes: int
    mapped_bytes: int
    device_bytes: int


class ModelStatus(Section):
    """One configured model. What is known only of a loaded one is null before."""

    name: str
    file: str
    state: str
    progress: float | None
    detail: str
    kinds: tuple[str, ...]
    languages: tuple[str, ...]
    rung: str | None
    architecture: str | None
    quantisation: str | None
    parameters: int | None
    fim: bool | None
    chat: bool | None
    embeds: int | None
    """Numbers in the vectors it makes; 0 for a model that writes."""
    load_ms: float | None
    sequences: int | None
    sequences_in_use: int
    context_tokens: int | None
    memory: ModelMemory
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    deaths: int


class ClassLatency(Section):
    """Of the last requests of one class; null where there was none."""

    count: int
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    e2e_p50_ms: float | None
    e2e_p95_ms: float | None


class Memory(Section):
    """What all models may use, and do."""

    budget_bytes: int
    used_bytes: int


class Status(Section):
    """The whole document."""

    schema_version: int = SCHEMA_VERSION
    version: str
    pid: int
    uptime_s: float
    http: str
    sockets: tuple[str, ...]
    degraded: tuple[str, ...]
    notices: tuple[str, ...]
    models: tuple[ModelStatus, ...]
    memory: Memory
    queued: dict[str, int]
    """Requests that wait, by class."""
    running: dict[str, int]
    """Requests that run, by class."""
    latency: dict[str, ClassLatency]
    ended: dict[str, int]
    """Requests that ended so, by outcome, since the start."""
