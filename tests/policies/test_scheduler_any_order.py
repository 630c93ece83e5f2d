"""Facts in any order that the wishes allow: a simulator is too kind, since its time never runs backwards."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.messages import (
    Cancelled,
    End,
    EngineDied,
    Event,
    Halt,
    Load,
    Loaded,
    LoadFailed,
    MemoryChanged,
    Start,
    Stepped,
    Stop,
    Stopped,
    Tick,
    Unload,
    Unloaded,
)
from policies.request import Kind, Place
from tests.policies.machine import Machine, ask, model

NAMES = ("a", "b", "c")


class World:
    """What engines hold after the actions so far, and so what can happen next."""

    def __init__(self) -> None:
        self.machine = Machine(
            *(model(name, need=need) for name, need in zip(NAMES, (2, 3, 4), strict=True)),
            memory_bytes=6,
            queue_max=6,
            setbacks_max=2,
            deaths_max=1,
        )
        self.inside: dict[int, str] = {}
        self.stopping: set[int] = set()
        self.phases: dict[str, str] = {}
        self.ends: Counter[int] = Counter()
        self.arrived = 0

    def tell(self, event: Event) -> None:
        for action in self.machine(event):
            match action:
                case Start(number, name):
                    assert self.phases[name] == "ready"
                    assert not self.ends[number]
                    self.inside[number] = name
                case Stop(number):
                    assert number in self.inside
                    assert number not in self.stopping
                    self.stopping.add(number)
                case End(number):
                    self.ends[number] += 1
                case Load(name):
                    assert name not in self.phases
                    self.phases[name] = "loading"
                case Unload(name):
                    assert name not in self.inside.values()
                    self.phases[name] = "draining"

    def meet(self, luck: int) -> None:
        """Something happens, by luck."""
        luck, choice = divmod(luck, 8)
        match choice:
            case 0 | 1:
                self._arrive(luck)
            case 2:
                self.tell(Cancelled(luck % (self.arrived + 1)))
            case 3:
                self.machine.wait(luck % 100)
                self.tell(Tick() if luck % 10 else MemoryChanged(3 + luck % 4))
            case 4 | 5 if self.inside:
                self._stop(luck)
            case _ if self.phases:
                self._change(luck)

    def let_end(self) -> None:
        """Nothing new comes, and every engine does its work."""
        for _ in range(1_000):
            if self.inside:
                number = next(iter(self.inside))
                self._free(number)
                self.tell(Stopped(number, Halt.DONE))
            elif changing := [name for name, phase in self.phases.items() if phase != "ready"]:
                self._settle(changing[0])
            elif (due := self.machine.scheduler.next_wakeup()) is not None:
                self.machine.now = max(due, self.machine.now)
                self.tell(Tick())
            else:
                return

    def _arrive(self, luck: int) -> None:
        self.arrived += 1
        kind = list(Kind)[luck % len(Kind)]
        place = Place("document", luck % 7) if luck % 2 else None
        expires_s = 1.0 * luck if luck % 5 == 0 else None
        self.tell(
            ask(self.arrived, kind, NAMES[luck % 3], place=place, expires_s=expires_s),
        )

    def _stop(self, luck: int) -> None:
        number = list(self.inside)[luck % len(self.inside)]
        halts = [Halt.DONE, Halt.STOPPED, Halt.INVALID, Halt.FAILED]
        if number in self.stopping:
            halts = [Halt.STOPPED, Halt.DONE, Halt.PARKED]
        self._free(number)
        self.tell(Stopped(number, halts[luck % len(halts)]))

    def _change(self, luck: int) -> None:
        """A model's phase changes, or it makes a step."""
        name = list(self.phases)[luck % len(self.phases)]
        crew = [number for number, where in self.inside.items() if where == name]
        if luck % 4 == 0:
            for number in crew:
                self._free(number)
            del self.phases[name]
            self.tell(EngineDied(name, tuple(crew[: luck % 3])))
        elif self.phases[name] == "ready":
            self.tell(Stepped(name, tuple((number, 1) for number in crew), 0, 0.1, 0))
        elif luck % 50 == 1 and self.phases[name] == "loading":
            del self.phases[name]
            self.tell(LoadFailed(name))
        else:
            self._settle(name)

    def _settle(self, name: str) -> None:
        if self.phases[name] == "loading":
            self.phases[name] = "ready"
            self.tell(Loaded(name, 1 + len(name) % 3, 1.0, 0))
        else:
            del self.phases[name]
            self.tell(Unloaded(name))

    def _free(self, number: int) -> None:
        del self.inside[number]
        self.stopping.discard(number)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.integers(0, 10_000), max_size=80))
def test_every_request_ends_exactly_once_in_any_order(luck: list[int]) -> None:
    """And no wish is impossible: nothing starts on an absent model, or stops twice, or leaves with work in it."""
    world = World()
    for piece in luck:
        world.meet(piece)
        assert set(world.ends.values()) <= {1}
    world.let_end()
    assert world.ends == Counter(range(1, world.arrived + 1))
