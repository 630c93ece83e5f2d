"""A batcher in this very process: its steps can be taken one by one and its cache looked into."""

from dataclasses import dataclass, field

import msgspec

from engines.batcher import Batcher, Told
from engines.engine import Emitted, Job, Plain, Stepped, Stopped
from engines.llama import Context, Model
from engines.prompt import Layouter

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


def make_context(model: Model, *, cells: int = 2048, sequences: int = 8) -> Context:
    return Context(
        model,
        cells=cells,
        batch=128,
        sub_batch=128,
        sequences=sequences,
        kv_type="f16",
        threads=1,  # two on a busy machine spend their time waiting for each other
    )


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
    sequences: int = 8
    running_max: int = 4
    can_trim: bool = True
    frames: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        for sequence in range(self.sequences):
            self.context.remove(sequence, 0)
        self.clock = Ticks()
        self.layouter = Layouter(self.model, context=self.context.cells)
        self.batcher = Batcher(
            self.model,
            self.context,
            sequences=self.sequences,
            running_max=self.running_max,
            budget=128,
            can_trim=self.can_trim,
            clock=self.clock,
        )

    def submit(self, job: Job) -> None:
        layout = self.layouter.lay_out(job.prompt, job.tokens_max)
        tokens_max = self.layouter.answer_tokens(layout, job.tokens_max)
        job = msgspec.structs.replace(job, tokens_max=tokens_max)
        self.batcher.submit(job, layout, self.clock())

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
        for sequence in range(self.sequences):
            told, held = self.batcher.ledger.length(sequence), self.context.length(sequence)
            assert told == held, f"sequence {sequence}: ledger {told}, llama.cpp {held}"
