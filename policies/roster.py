"""The models: the phase of each, what memory they hold, and who may be asked to give some back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from policies.messages import Stepped
from policies.request import Class
from policies.speed import Speed, load_of
from policies.step_model import StepModel
from policies.view import ModelView, Phase

_HOLDING = (Phase.LOADING, Phase.READY, Phase.DRAINING)


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody of that class has been waiting for a model's memory since then."""

    by: Class
    since_s: float


@dataclass(slots=True, eq=False)
class ModelState:
    """One model. Its memory counts as taken from `Load` until `Unloaded`, `LoadFailed` or a death."""

    view: ModelView
    phase: Phase = Phase.ABSENT
    sequences: int = 0
    used_s: float = -math.inf
    """When a request last started or stopped on it."""
    wish: Wish | None = None
    resting: bool = False
    """Its lesser work was asked to rest for another model's keystroke."""
    deaths: int = 0
    fruitless_s: list[float] = field(default_factory=list)
    """When it died since it last made a step."""
    barred_until_s: float = -math.inf
    speed: Speed = field(default_factory=Speed)
    costs: StepModel = field(default_factory=StepModel)

    @property
    def name(self) -> str:
        """The name requests give."""
        return self.view.name

    @property
    def holds_memory(self) -> bool:
        """Whether its memory counts as taken."""
        return self.phase in _HOLDING

    def loaded(self, sequences: int, now: float) -> None:
        """It takes requests."""
        self.phase = Phase.READY
        self.sequences = sequences
        self.used_s = now

    def stepped(self, step: Stepped) -> None:
        """It made a step."""
        self.fruitless_s.clear()
        self.speed = self.speed.after(step)
        self.costs.observe(load_of(step), step.duration_s)

    def gone(self) -> None:
        """It holds no memory any more."""
        self.phase = Phase.ABSENT
        self.resting = False

    def died(self, now: float, *, window_s: float) -> int:
        """It went unasked; the answer is how many times it lately has, with no step between."""
        self.gone()
        self.deaths += 1
        self.fruitless_s = [time for time in self.fruitless_s if time > now - window_s] + [now]
        return len(self.fruitless_s)


class Roster:
    """Every configured model, in order, and the memory they share."""

    def __init__(self, models: Sequence[ModelView], memory_bytes: int) -> None:
        self._models = {view.name: ModelState(view) for view in models}
        self.memory_bytes = memory_bytes

    def __iter__(self) -> Iterator[ModelState]:
        return iter(self._models.values())

    def __getitem__(self, name: str) -> ModelState:
        return self._models[name]

    def find(self, name: str) -> ModelState | None:
        """The model of that name."""
        return self._models.get(name)

    def fits_now(self, model: ModelState) -> bool:
        """Whether it could be loaded with nobody leaving."""
        return self.held_bytes() + model.view.need_bytes <= self.memory_bytes

    def held_bytes(self) -> int:
        """What all of them hold."""
        return sum(model.view.need_bytes for model in self if model.holds_memory)

    def can_ever_fit(self, model: ModelState) -> bool:
        """Whether a model fits when all that may be displaced have been."""
        fixed = sum(
            other.view.need_bytes
            for other in self
            if other.view.pinned and other.holds_memory and other is not model
        )
        return fixed + model.view.need_bytes <= self.memory_bytes
