"""A scheduler whose invariants are checked after every event, and short ways to say what happens to it."""

from __future__ import annotations

from policies.limits import Limits
from policies.messages import Action, Arrived, Event, Halt, Loaded, Stopped
from policies.request import CLASS_OF, PROMISE_OF, Kind, Place, Request
from policies.scheduler import Scheduler
from policies.view import ModelView

HERE = Place("document", 10)


def model(name: str = "m", *, need: int = 1, sequences: int = 0, pinned: bool = False) -> ModelView:
    return ModelView(name, frozenset(Kind), frozenset(), need, sequences, pinned)


def ask(number: int, kind: Kind = Kind.COMPLETE, name: str = "m", **facts) -> Arrived:
    """Request `number` arrives."""
    klass = facts.pop("klass", CLASS_OF[kind])
    return Arrived(
        Request(
            id=number,
            kind=kind,
            klass=klass,
            model=name,
            prompt_bytes=facts.pop("prompt_bytes", 400),
            tokens_max=16,
            client=facts.pop("client", "editor"),
            promise=facts.pop("promise", PROMISE_OF[klass]),
            **facts,
        )
    )


class Machine:
    """`machine(event, event, ...)` gives the actions of the last event."""

    def __init__(self, *models: ModelView, **limits) -> None:
        self.scheduler = Scheduler(models or (model(),), Limits(**limits))
        self.now = 0.0

    def __call__(self, *events: Event) -> list[Action]:
        actions: list[Action] = []
        for event in events:
            actions = self.scheduler.handle(event, now=self.now)
            self.scheduler.check()
        return actions

    def wait(self, seconds: float) -> Machine:
        self.now += seconds
        return self

    def load(self, name: str = "m", sequences: int = 4) -> list[Action]:
        return self(Loaded(name, sequences, 1.0, 0))


def two(**limits) -> Machine:
    """Models a and b, of which one fits; a is resident and idle."""
    machine = Machine(model("a"), model("b"), memory_bytes=1, **limits)
    machine(ask(1, name="a"))
    machine.load("a")
    machine(Stopped(1, Halt.DONE))
    return machine


def numbers(actions: list[Action]) -> list[tuple[str, int]]:
    """Actions on requests, as (name, number)."""
    return [(type(a).__name__, a.request_id) for a in actions if hasattr(a, "request_id")]
