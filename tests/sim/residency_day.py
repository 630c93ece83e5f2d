"""A day of requests for models, and how one is put together from what people and programs do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from policies.request import CLASS_OF, Class, Kind
from tests.sim.residency_models import GB, File


@dataclass(frozen=True, slots=True)
class Use:
    """One request. `after`: it comes `think_s` after that use (an index of the trace) has ended, not before `at_s`."""

    at_s: float
    model: str
    kind: Kind
    tokens: int
    prompt: int
    client: str
    klass: Class
    after: int | None = None
    think_s: float = 0.0
    ahead: tuple[str, ...] = ()
    """Models of the calls that follow in the same chain, soonest first."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A day. `opened` says when which models' documents are open."""

    name: str
    files: tuple[File, ...]
    memory_bytes: int
    host_bytes: int
    """Of the page cache."""
    uses: tuple[Use, ...]
    opened: tuple[tuple[float, frozenset[str]], ...] = ()


@dataclass
class Day:
    """A trace under construction."""

    random: Random
    uses: list[Use] = field(default_factory=list)
    opened: list[tuple[float, frozenset[str]]] = field(default_factory=list)

    def add(
        self, at_s: float, file: File, kind: Kind, tokens: float, prompt: int, client: str, **more
    ) -> int:
        """One use; the answer is its index."""
        klass = more.pop("klass", CLASS_OF[kind])
        self.uses.append(
            Use(at_s, file.name, kind, max(1, round(tokens)), prompt, client, klass, **more)
        )
        return len(self.uses) - 1

    def typing(self, at_s: float, lasts_s: float, file: File, client: str) -> None:
        """Bursts of keystrokes with pauses between them."""
        until_s = at_s + lasts_s
        while at_s < until_s:
            for _ in range(self.random.randint(3, 12)):
                self.add(at_s, file, Kind.COMPLETE, self.random.randint(8, 40), 1500, client)
                at_s += self.random.lognormvariate(0.3, 0.6)
            at_s += self.random.expovariate(1 / 30)

    def talk(
        self,
        at_s: float,
        file: File,
        client: str,
        *,
        kind: Kind = Kind.CHAT,
        turns: int,
        tokens: float,
        think_s: float,
    ) -> None:
        """Question, answer, thought, next question."""
        last: int | None = None
        for _ in range(turns):
            length = tokens * self.random.lognormvariate(0, 0.5)
            think = think_s * self.random.lognormvariate(0, 0.5)
            last = self.add(at_s, file, kind, length, 2500, client, after=last, think_s=think)
            at_s += think + file.decode_s(round(length))

    def chain(
        self, at_s: float, files: tuple[tuple[File, Kind, float], ...], rounds: int, client: str
    ) -> None:
        """An agent: its calls one after the other, round by round."""
        last: int | None = None
        calls = files * rounds
        for index, (file, kind, tokens) in enumerate(calls):
            ahead = tuple(one.name for one, _, _ in calls[index + 1 : index + 9])
            length = tokens * self.random.lognormvariate(0, 0.4)
            think = self.random.uniform(0.5, 5)
            last = self.add(
                at_s, file, kind, length, 3000, client, after=last, think_s=think, ahead=ahead
            )
            at_s += think + file.decode_s(round(length))

    def background(
        self,
        at_s: float,
        file: File,
        count: int,
        client: str,
        *,
        kind: Kind = Kind.INDEX,
        tokens: float = 1,
    ) -> None:
        """A batch that nobody waits for."""
        for _ in range(count):
            self.add(at_s, file, kind, tokens, 400, client, klass=Class.BACKGROUND)
            at_s += self.random.uniform(0.2, 2)

    def open(self, at_s: float, *files: File) -> None:
        """From then on these models' documents are open."""
        self.opened.append((at_s, frozenset(file.name for file in files)))

    def trace(self, name: str, files: tuple[File, ...], memory_gb: float, host_gb: float) -> Trace:
        """The day in the order of its times."""
        order = sorted(range(len(self.uses)), key=lambda index: (self.uses[index].at_s, index))
        place = {old: new for new, old in enumerate(order)}
        uses = tuple(
            replace(use, after=None if use.after is None else place[use.after])
            for use in (self.uses[index] for index in order)
        )
        opened = tuple(sorted(self.opened, key=lambda one: one[0]))
        return Trace(name, files, int(memory_gb * GB), int(host_gb * GB), uses, opened)
