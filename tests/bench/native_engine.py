"""A model in this very process, set up as its worker would, and a batcher whose steps can be taken one by one."""

import random
import time
from collections.abc import Sequence
from pathlib import Path

from engines import llama, selftest
from engines.batcher import Batcher, Terms, Told
from engines.devices import thread_count
from engines.engine import Emitted, Job, Plain, Sampling, Stepped
from engines.llama import Context, Feed, Model
from engines.prompt import Layout
from engines.resident import SUB_BATCH_CPU
from engines.run import Arrival

SEQUENCES, CELLS = 8, 4096
FIRST_TOKEN = 300
"""Before it are single bytes and control tokens in most vocabularies."""


class Counting(Context):
    """Knows how many tokens it was given to evaluate in each sequence, steps that were broken off included."""

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **named)
        self.given_tokens = [0] * self.sequences
        self.aborted_steps = 0

    def decode(self, feeds: Sequence[Feed]) -> int:
        for feed in feeds:
            self.given_tokens[feed.sequence] += len(feed.tokens)
        code = super().decode(feeds)
        self.aborted_steps += code == llama.ABORTED
        return code


class NativeEngine:
    """Model, context and abilities; batchers are made of them as often as wanted, each with an empty cache."""

    def __init__(self, path: Path, *, repack: bool, threads: int | None, quantum_ms: float) -> None:
        llama.start()
        self.path = path
        self.model = Model(str(path), gpu_layers=0, extra_buffers=repack)
        self.context = Counting(
            self.model,
            cells=CELLS,
            batch=SUB_BATCH_CPU,
            sub_batch=SUB_BATCH_CPU,
            sequences=SEQUENCES,
            kv_type="f16",
            threads=threads or thread_count(),
        )
        self.abilities = selftest.probe(self.model, self.context)
        self._quantum_s = quantum_ms / 1e3

    def empty(self) -> None:
        for sequence in range(SEQUENCES):
            self.context.remove(sequence, 0)

    def batcher(self) -> Batcher:
        """A worker's batcher; nothing of an older one is in the cache."""
        self.empty()
        terms = Terms(SEQUENCES, SUB_BATCH_CPU, self.abilities, self._quantum_s)
        return Batcher(self.model, self.context, terms)

    def tokens(self, count: int, roll: random.Random) -> list[int]:
        """Tokens of a prompt that nobody has seen."""
        return [roll.randrange(FIRST_TOKEN, self.model.n_vocab // 2) for _ in range(count)]


def arrival(number: int, tokens: Sequence[int], answer_tokens: int, urgency: float = 0) -> Arrival:
    """A greedy job whose prompt is given as tokens, and which ends at its limit only."""
    job = Job(number, Plain(""), answer_tokens, Sampling(ignore_eos=True), urgency=urgency)
    return Arrival(job, Layout(tuple(tokens)), time.monotonic())


def emitted(frames: Sequence[Told]) -> list[Emitted]:
    return [one for frame in frames if isinstance(frame, Stepped) for one in frame.emitted]
