"""Measures what steps cost on this machine and prints it as a `Machine` for `machines.py`.

    python -m tests.sim.measure_machine MODEL.gguf NAME

Steps are those of a worker on a processor, medians of several; a decode step includes drawing its tokens greedily.
"""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from engines import llama
from engines.devices import thread_count
from engines.llama import Context, Feed, Model
from engines.resident import SUB_BATCH_CPU
from tests.sim.machines import Machine

SEQUENCES = 16
CELLS = 4096
SHORT, LONG = 64, 3072
"""Lengths of the caches beside which attention is measured."""
WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16)
CHUNKS = (2, 4, 8, 16, 32, 48, 64, 96, 128)
ROUNDS = 12
ABORTS = 12


class Bench:
    """A context of a worker's shape."""

    def __init__(self, path: str) -> None:
        llama.start()
        self._roll = random.Random(1)
        model = Model(path, gpu_layers=0, extra_buffers=True)
        self._vocabulary = model.n_vocab
        self.context = Context(
            model,
            cells=CELLS,
            batch=SUB_BATCH_CPU,
            sub_batch=SUB_BATCH_CPU,
            sequences=SEQUENCES,
            kv_type="f16",
            threads=thread_count(),
        )

    def fill(self, sequence: int, cells: int) -> None:
        """Give a sequence so long a cache."""
        self.context.remove(sequence, 0)
        for start in range(0, cells, SUB_BATCH_CPU):
            self.step([sequence], start, min(SUB_BATCH_CPU, cells - start))

    def step(self, sequences: Sequence[int], start: int, tokens: int) -> float:
        """Milliseconds of one step that appends to these sequences and draws from each."""
        drawn = [
            [self._roll.randrange(300, self._vocabulary // 2) for _ in range(tokens)]
            for _ in sequences
        ]
        feeds = [
            Feed(s, start, some, wants_logits=True)
            for s, some in zip(sequences, drawn, strict=True)
        ]
        began = time.perf_counter()
        self.context.decode(feeds)
        for index in range(len(feeds)):
            self.context.logits(index).argmax()
        return 1e3 * (time.perf_counter() - began)

    def median(
        self, sequences: Sequence[int], start: int, tokens: int, rounds: int = ROUNDS
    ) -> float:
        """The median of steps that are each undone."""
        taken = []
        for _ in range(rounds):
            taken.append(self.step(sequences, start, tokens))
            for sequence in sequences:
                self.context.remove(sequence, start)
        return round(statistics.median(taken), 1)

    def abort_ms(self) -> float:
        """The median from raising the flag inside a chunk to its return."""
        late = []
        whole_ms = self.median([0], 0, SUB_BATCH_CPU, 3)
        for _ in range(ABORTS):
            raised = []

            def raise_flag(raised: list[float] = raised) -> None:
                raised.append(time.perf_counter())
                self.context.abort()

            timer = threading.Timer(self._roll.uniform(0.1, 0.7) * whole_ms / 1e3, raise_flag)
            timer.start()
            feed = Feed(0, 0, [400 + n for n in range(SUB_BATCH_CPU)], wants_logits=False)
            self.context.decode([feed])
            late.append(1e3 * (time.perf_counter() - raised[0]))
            self.context.resume()
            timer.join()
            self.context.remove(0, 0)
        return round(statistics.median(late), 1)


def measure(path: str, name: str) -> Machine:
    """All of a machine's figures, in about a minute for half a billion parameters on two cores."""
    bench = Bench(path)
    chunks = tuple((tokens, bench.median([0], 0, tokens)) for tokens in CHUNKS)
    abort_ms = bench.abort_ms()
    for sequence in range(SEQUENCES):
        bench.fill(sequence, SHORT)
    widths = tuple((n, bench.median(range(n), SHORT, 1)) for n in WIDTHS)
    bench.fill(0, LONG)
    far_ms = bench.median([0], LONG, SUB_BATCH_CPU)
    slope_ms = (far_ms - dict(chunks)[SUB_BATCH_CPU]) / SUB_BATCH_CPU / LONG
    return Machine(
        name=name,
        model=Path(path).name,
        decode_ms=widths,
        chunk_ms=chunks,
        ns_per_token_cell=round(1e6 * slope_ms, 1),
        cells=SHORT + 1,
        abort_ms=abort_ms,
    )


if __name__ == "__main__":
    print(measure(*sys.argv[1:3]))
