"""What the paper's authors measured and used: speeds, tasks, mixes and the tables that a reproduction stands beside.

Figures only, from the replication package of arXiv 2506.19677.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PAGE: dict[str, Any] = json.loads(Path(__file__).with_name("saber_published.json").read_text())


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of work: how long each of its answers is, and by when it was promised."""

    name: str
    tokens: int
    within_s: float


TASKS = {
    name: Task(name, task["max_tokens"], task["sla_s"]) for name, task in _PAGE["tasks"].items()
}
MIXES: dict[str, dict[str, int]] = _PAGE["mix_percent"]
RATES: list[int] = _PAGE["rps"]
CAPS: list[int] = _PAGE["static_caps"]
REQUESTS: int = _PAGE["requests_per_run"]
SPEEDS = {
    int(running): float(speed)
    for running, speed in _PAGE["speed_tokens_per_s_by_concurrency"].items()
}
"""Tokens per second of each request, by how many run."""


def static_percent(mix: str, rate: int) -> list[int] | None:
    """Goodput under each of CAPS; None where the authors print none."""
    return _PAGE["goodput_percent_static"][mix].get(str(rate))


def saber_percent(mix: str) -> list[int]:
    """Goodput of the paper's own policy at each of RATES."""
    return _PAGE["goodput_percent_saber"][mix]


def best_static_percent(mix: str) -> list[int]:
    """Goodput of the cap that was best with hindsight, at each of RATES."""
    return _PAGE["goodput_percent_best_static"][mix]
