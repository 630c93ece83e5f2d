"""A batcher in this very process: its steps can be taken one by one and its cache looked into."""

import socket
from dataclasses import dataclass, field

import msgspec

from engines.batcher import Batcher, Terms, Told
from engines.cache import Parking
from engines.engine import Emitted, Job, Parked, Plain, Stepped, Stopped
from engines.llama import Context, Model
from engines.parking import Geometry
from engines.pocket import Pocket
from engines.prompt import Layout, Layouter
from engines.run import Arrival
from engines.selftest import Abilities
from engines.shelf import Shelf
from engines.wire import Hand, Lend, send_descriptor

SOURCE = '''
class Stack:
    """Last in, first out."""

    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)

    def pop(self):
        if not self.items:
            raise IndexError("pop from an empty stack")
        return self.items.pop()

    def __len__(self):
        return len(self.items)


def total(numbers):
    result = 0
    for number in numbers:
        result += number
    return result


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [line.rstrip() for line in file]
'''


def make_context(
    model: Model, *, cells: int = 1024, sequences: int = 8, sub_batch: int = 128
) -> Context:
    return Context(
        model,
        cells=cells,
        batch=128,
        sub_batch=sub_batch,
        sequences=sequences,
        kv_type="f16",
        threads=1,  # two on a busy machine spend their time waiting for each other
    )


ALL = Abilities(trim=True, shift=True, abort=True)


class Ticks:
    """A clock that moves by a millisecond whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@dataclass
class Bench:
    """One batcher and all that it said."""

    model: Model
    context: Context
    running_max: int = 4
    abilities: Abilities = ALL
    reuse_shifted: bool = False
    kept_bytes: int = 64 * 2**20
    quantum_s: float = 0.05
    parking: Parking | None = None
    frames: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        for sequence in range(self.context.sequences):
            self.context.remove(sequence, 0)
        self.clock = Ticks()
        self.layouter = Layouter(self.model, context=self.context.cells)
        terms = Terms(
            running_max=self.running_max,
            budget_tokens=128,
            abilities=self.abilities,
            reuse_shifted=self.reuse_shifted,
            kept_bytes=self.kept_bytes,
            quantum_s=self.quantum_s,
        )
        self.batcher = Batcher(
            self.model, self.context, terms, parking=self.parking, clock=self.clock
        )

    def submit(self, job: Job) -> None:
        layout = self.layouter.lay_out(job.prompt, job.tokens_max)
        tokens_max = self.layouter.answer_tokens(layout, job.tokens_max)
        job = msgspec.structs.replace(job, tokens_max=tokens_max)
        self.batcher.submit(Arrival(job, layout, self.clock()))

    def submit_tokens(self, job: Job, tokens: list[int]) -> None:
        """Submit a job whose prompt is given as tokens, whatever its text says."""
        self.batcher.submit(Arrival(job, Layout(tuple(tokens)), self.clock()))

    def step(self) -> list[Told]:
        told = self.batcher.step()
        self.frames += told
        return told

    def run(self, steps_max: int = 3000) -> None:
        """Step until nothing is left to do."""
        for _ in range(steps_max):
            if not self.batcher.busy:
                return
            self.step()
        raise AssertionError("it does not end")

    def ask(self, request_id: int, text: str, **given: object) -> Stopped:
        self.submit(Job(request_id, Plain(text), **given))
        self.run()
        return self.stopped(request_id)

    def stopped(self, request_id: int) -> Stopped:
        (end,) = (f for f in self.frames if isinstance(f, Stopped) and f.request_id == request_id)
        return end

    def emitted(self, request_id: int) -> list[Emitted]:
        steps = (f for f in self.frames if isinstance(f, Stepped))
        return [e for step in steps for e in step.emitted if e.request_id == request_id]

    def tokens(self, request_id: int) -> list[int]:
        return [t for e in self.emitted(request_id) for t in e.tokens]

    def text(self, request_id: int) -> str:
        return "".join(e.text for e in self.emitted(request_id)) + self.stopped(request_id).text

    def check_ledger(self) -> None:
        """The ledger and llama.cpp agree on the length of every sequence (ENGINE.md 5)."""
        for sequence in range(self.context.sequences):
            told, held = self.batcher.cache.ledger.length(sequence), self.context.length(sequence)
            assert told == held, f"sequence {sequence}: ledger {told}, llama.cpp {held}"


class Desk:
    """The daemon's shelf and one worker's pocket, with a true socket between them."""

    geometry = Geometry("embedded", "/m", 1, 2, 3, "f16", "on", "0")

    def __init__(self, bytes_max: int = 1 << 24) -> None:
        self._socket, self._theirs = socket.socketpair()
        self.shelf = Shelf(bytes_max)
        self.pocket = Pocket(self._theirs)
        self.lent: list[int] = []
        """Every handle that was ever lent."""

    def hand(self) -> None:
        """Hand out an empty descriptor."""
        handle, fd = self.shelf.blank()
        send_descriptor(self._socket, handle, fd)
        self.pocket.receive(Hand(handle, self.shelf.bytes_max))

    def keep(self, parked: Parked) -> int | None:
        """Keep what came back, and hand out another; return its handle, None where it cannot be kept."""
        kept = self.shelf.keep(parked.handle)
        self.hand()
        return parked.handle if kept else None

    def lend(self, handle: int) -> bool:
        """Lend what was kept, and keep it no longer; False where it had to give way."""
        fd = self.shelf.find(handle)
        if fd is None:
            return False
        send_descriptor(self._socket, handle, fd)
        self.pocket.receive(Lend(handle))
        self.lent.append(handle)
        self.shelf.drop(handle)
        return True

    def close(self) -> None:
        """Leave no descriptor open, on either side."""
        if len(self.shelf):
            self.pocket.save(self.geometry, (), 0, lambda _address, _size: 0)
        for handle in range(1, self.shelf.blank()[0] + 1):
            self.pocket.forget(handle)
            self.shelf.drop(handle)
        self._socket.close()
        self._theirs.close()
