"""Which policy is measured when: in turns, each before and after the other, so that a machine that warms up favours none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daemon.bench.figures import Figures, figures_of
from daemon.bench.load import Load
from daemon.bench.private import find_targets, private_daemon, variant
from daemon.life import Life

TURNS_EACH = 2
"""Turns that each policy gets beside each number of streams."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One side (0 or 1) against so many streams of background work, for so long. Both sides get the same requests."""

    side: int
    streams: int
    seconds: float
    round: int


@dataclass(slots=True)
class Contest:
    """The sides, by their policies, and what each turn of theirs came to so far."""

    config_file: Path
    folder: Path
    policies: tuple[str, ...]
    seed: int
    turns: dict[Turn, tuple[float, list[Life]]] = field(default_factory=dict)

    def play(self, turn: Turn, tick: Callable[[float], None]) -> None:
        """Start a daemon for this turn, ask it, end it. Interrupted, it keeps what was measured until then."""
        config = variant(self.config_file, self.policies[turn.side])
        with private_daemon(self.folder, config) as place:
            seed = f"{self.seed}/{turn.streams}/{turn.round}"
            load = Load(place.http_socket, *find_targets(place), seed)
            asyncio.run(load.warm())
            load.typing, load.talking = find_targets(place)
            began_s = time.monotonic()
            try:
                asyncio.run(load.run(turn.streams, turn.seconds, tick))
            finally:
                self.turns[turn] = (time.monotonic() - began_s, load.lives)

    def figures(self) -> list[list[Figures]]:
        """For each number of streams, each side that had a turn there."""
        levels = sorted({turn.streams for turn in self.turns})
        return [[self._of(side, level) for side in self._sides(level)] for level in levels]

    def _sides(self, level: int) -> list[int]:
        return sorted({turn.side for turn in self.turns if turn.streams == level})

    def _of(self, side: int, level: int) -> Figures:
        parts = [
            part for turn, part in self.turns.items() if (turn.side, turn.streams) == (side, level)
        ]
        return figures_of(self.policies[side], level, parts)


def plan(streams: Sequence[int], seconds: float, sides: int) -> list[Turn]:
    """A B B A beside each number of streams; `seconds` are what each side gets there in all."""
    turns = []
    for level in streams:
        for round_ in range(TURNS_EACH):
            order = range(sides) if round_ % 2 == 0 else reversed(range(sides))
            turns += [Turn(side, level, seconds / TURNS_EACH, round_) for side in order]
    return turns
