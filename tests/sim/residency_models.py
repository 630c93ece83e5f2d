"""Models as residency sees them, as data: what they take of memory, of a disk and of time, on a small graphics card."""

from __future__ import annotations

from dataclasses import dataclass

GB = 10**9
COLD_PER_S = 1.5 * GB
"""Of an NVMe disk of a laptop, through mmap: vendors say 3 and more, a cold read of a model reaches half."""
WARM_PER_S = 6.0 * GB
"""A copy out of the page cache to a device over PCIe, or page by page."""
START_S = 0.5
"""A worker's process, its context, its first decode."""
LEAVE_S = 0.5
"""From `Unload` until the memory is back, on CUDA (ENGINE.md 26)."""
BANDWIDTH_PER_S = 300.0 * GB
"""Of a small graphics card: a token reads every weight once."""
PREFILL_PARAMETERS_PER_S = 14e12
"""Parameters times prompt tokens a second on such a card: 2,000 tokens/s with 7 billion."""


@dataclass(frozen=True, slots=True)
class File:
    """One model: its size on disk and its parameters; need is weights, cache and buffers."""

    name: str
    file_bytes: int
    parameters: float

    @property
    def need_bytes(self) -> int:
        return int(1.15 * self.file_bytes) + 600_000_000

    @property
    def cold_s(self) -> float:
        return START_S + self.file_bytes / COLD_PER_S

    @property
    def warm_s(self) -> float:
        return START_S + self.file_bytes / WARM_PER_S

    def decode_s(self, tokens: int) -> float:
        return tokens * self.file_bytes / BANDWIDTH_PER_S

    def prefill_s(self, tokens: float) -> float:
        return 0.01 + tokens * self.parameters / PREFILL_PARAMETERS_PER_S


TINY = File("embed-0.5b", int(0.53 * GB), 0.5e9)
SMALL = File("coder-1.5b", int(1.1 * GB), 1.5e9)
SNAKE = File("python-3b", int(2.0 * GB), 3e9)
RUST = File("rust-7b", int(4.7 * GB), 7e9)
TALKER = File("chat-7b", int(4.7 * GB), 7e9)
WRITER = File("docs-3b", int(2.0 * GB), 3e9)
PLANNER = File("plan-8b", int(5.0 * GB), 8e9)
REVIEWER = File("review-14b", int(9.0 * GB), 14e9)
"""Sizes of common files: Q8_0 for the first two, Q4_K_M for the others."""
