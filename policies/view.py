"""Frozen pictures: what is known of a model before it is resident, and where it stands in the scheduler's eyes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from policies.request import Class, Kind
from policies.speed import Speed


@dataclass(frozen=True, slots=True)
class ModelView:
    """One configured model. `languages` empty means every language; `kinds` are the kinds it may serve."""

    name: str
    kinds: frozenset[Kind]
    languages: frozenset[str]
    need_bytes: int
    sequences: int
    pinned: bool = False


class Phase(StrEnum):
    """absent -> loading -> ready -> draining -> absent; failed is for good."""

    ABSENT = "absent"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a model stands now: its phase, how many run on it, and how fast it has been."""

    name: str
    phase: Phase
    running: int
    deaths: int
    speed: Speed


@dataclass(frozen=True, slots=True)
class Picture:
    """How things stand: the models in configured order, and how many requests wait and run, by class."""

    models: tuple[Standing, ...]
    waiting: dict[Class, int]
    running: dict[Class, int]
    memory_bytes: int
    """What the models may use together."""
