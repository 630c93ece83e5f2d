"""A run of the paper: a hundred requests in the exact shares of a mix, shuffled, arriving by chance."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from random import Random

from tests.sim.paper.published import MIXES, REQUESTS, TASKS, Task


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a run; `id` is its place in the order of arrival."""

    id: int
    at_s: float
    task: Task

    @property
    def due_s(self) -> float:
        """When its whole answer was promised."""
        return self.at_s + self.task.within_s


def draw(mix: str, rate: float, seed: int) -> list[Arrival]:
    """The run of one seed: the same for every policy that is compared. Gaps are exponential (a Poisson stream)."""
    random = Random(f"{mix} {rate} {seed}")
    tasks = [
        TASKS[name]
        for name, percent in MIXES[mix].items()
        for _ in range(REQUESTS * percent // 100)
    ]
    random.shuffle(tasks)
    times = accumulate(random.expovariate(rate) for _ in tasks)
    return [Arrival(n, at_s, task) for n, (at_s, task) in enumerate(zip(times, tasks, strict=True))]
