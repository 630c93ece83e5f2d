"""What a worker is told about the model it serves. A value: the daemon makes it of the configuration."""

from __future__ import annotations

import msgspec


class ModelSpec(msgspec.Struct, frozen=True):
    """One model file and how to run it; None means: measure and choose."""

    name: str
    path: str
    context: int | None = None
    """Cells one request may use; by default what the model was trained for, at most 8,192."""
    sequences: int = 4
    """Requests that may run at once."""
    kv_type: str = "f16"
    """Type of the KV cache: f32, f16, q8_0 or q4_0."""
    gpu_layers: int | None = None
    threads: int | None = None
    quantum_ms: float = 50.0
    """What an interactive request may wait for work that is already inside a step (ENGINE.md 12)."""
    reuse_shifted: bool = True
    """Whether text that moved within the prompt keeps its cells: an approximation (ENGINE.md 14)."""
    rungs_file: str = ""
    """Where the rung that worked on this machine is remembered; empty: nowhere."""
