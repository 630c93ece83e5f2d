"""The batcher on real llama.cpp in any order of wishes and mishaps: jobs join, are stopped, parked and resumed, steps
are broken off or refused, workers die. Afterwards every token is held against a fresh pass over the same tokens.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engines.batcher import Told
from engines.cache import Parking
from engines.engine import Job, Plain, Sampling, Stopped
from engines.llama import NO_ROOM, Context, Feed, Model
from policies.messages import Halt
from tests.engines.judge import EPS, GREEDY, Breakable, Judge
from tests.engines.native import SOURCE, Bench, Desk

pytestmark = pytest.mark.slow

CELLS, SUB_BATCH, SEQUENCES = 512, 32, 4

SAMPLINGS = (
    *GREEDY,
    Sampling(ignore_eos=True, repeat_penalty=1.3, penalty_tokens=32),
    Sampling(temperature=0.9, top_k=20, top_p=0.9, seed=1, repeat_penalty=1.1),
    Sampling(temperature=1.3, seed=2, frequency_penalty=0.2, ignore_eos=True),
)


@dataclass(frozen=True)
class Want:
    """A window of a text that may have scrolled below its first lines, with something typed behind it."""

    lead: int
    skip: int
    length: int
    typed: int
    sampling: Sampling
    tokens_max: int
    urgency: int
    alone: bool

    def prompt(self, text: list[int]) -> list[int]:
        window = (text[: self.lead] + text[self.lead + self.skip :])[: self.length]
        return [*window, *text[50 : 50 + self.typed]]

    def job(self, number: int) -> Job:
        return Job(
            number,
            Plain(""),
            self.tokens_max,
            self.sampling,
            urgency=self.urgency,
            alone=self.alone,
        )


WANTS = st.builds(
    Want,
    lead=st.sampled_from([0, 12]),
    skip=st.sampled_from([0, 35, 90, 140]),
    length=st.sampled_from([1, 30, 60, 100, 180, 240, 300, CELLS - 2]),
    typed=st.integers(0, 2),
    sampling=st.sampled_from(SAMPLINGS),
    tokens_max=st.integers(0, 20),
    urgency=st.integers(0, 2),
    alone=st.sampled_from([False, False, False, True]),
)


@dataclass
class Tally:
    """What all machines of a run have done and seen."""

    operations: Counter[str] = field(default_factory=Counter)
    worst: float = 0.0
    worst_shifted: float = 0.0

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.operations.items()))
        return (
            f"{counts}; largest difference {self.worst:.4f}, behind moved cells "
            f"{self.worst_shifted:.4f}"
        )


@dataclass(frozen=True)
class Ask:
    """A job with its prompt as tokens."""

    job: Job
    prompt: list[int]


@dataclass(frozen=True)
class Judged:
    """A job that has ended, and whether it ever ran on cells that had moved."""

    ask: Ask
    end: Stopped
    shifted: bool


class World(RuleBasedStateMachine):
    """One daemon's view of its workers: jobs are inside, parked, or have ended."""

    def __init__(self, model: Model, context: Breakable, judge: Judge, tally: Tally) -> None:
        super().__init__()
        self.model, self.context, self.judge, self.tally = model, context, judge, tally
        self.text = model.tokenize(SOURCE * 6)
        self.desk = Desk()
        self.inside: dict[int, Ask] = {}
        self.parked: dict[int, tuple[Ask, int | None]] = {}
        self.ended: dict[int, Judged] = {}
        self.asked = 0
        self.refusals = 0
        self.shifted: set[int] = set()
        """Jobs that were told they ran on moved cells; all others are held to be exact."""
        context.mishap = None

    @initialize(
        shifts=st.booleans(), running=st.integers(1, SEQUENCES), kept=st.sampled_from([0, 1 << 26])
    )
    def load(self, shifts: bool, running: int, kept: int) -> None:
        self.tally.operations["machine"] += 1
        self.bench = Bench(
            self.model,
            self.context,
            running_max=running,
            reuse_shifted=shifts,
            kept_bytes=kept,
            quantum_s=0.0,
            parking=Parking(self.desk.pocket, self.desk.geometry),
        )
        self.desk.hand()

    # --- wishes ---------------------------------------------------------------------------------------

    @rule(wants=st.lists(WANTS, min_size=1, max_size=3))
    def submit(self, wants: list[Want]) -> None:
        for want in wants:
            self.tally.operations["submit"] += 1
            self.asked += 1
            self._send(Ask(want.job(self.asked), want.prompt(self.text)))

    @precondition(lambda self: self.inside)
    @rule(which=st.integers(0, 20))
    def stop(self, which: int) -> None:
        number = _chosen(self.inside, which)
        self.tally.operations["stop"] += 1
        told = self.bench.batcher.stop(number)
        assert [frame.halt for frame in told] == [Halt.STOPPED]
        self._hear(told)

    @precondition(lambda self: self.inside)
    @rule(which=st.integers(0, 20))
    def park(self, which: int) -> None:
        number = _chosen(self.inside, which)
        told = self.bench.batcher.park(number)
        assert [frame.halt for frame in told] == [Halt.PARKED]
        self.tally.operations["park" if told[0].parked else "park without KV"] += 1
        self._hear(told)

    @precondition(lambda self: self.parked)
    @rule(which=st.integers(0, 20))
    def resume(self, which: int) -> None:
        self._resume(_chosen(self.parked, which))

    # --- steps ----------------------------------------------------------------------------------------

    @rule(times=st.sampled_from([1, 2, 3, 6, 40]))
    def step(self, times: int) -> None:
        for _ in range(times):
            self._step("step")

    @precondition(lambda self: self.inside)
    @rule(
        parts=st.lists(st.integers(0, 4), min_size=1, max_size=6),
        urgency=st.sampled_from([1, 9, 9]),
    )
    def step_hurried(self, parts: list[int], urgency: int) -> None:
        """Somebody more urgent comes while the step runs, when so many sub-batches are through; then again."""

        def hurry() -> bool:
            broken = self.bench.batcher.hurry(urgency)
            self.tally.operations["abort"] += broken
            return broken

        for part in parts:
            after = part * SUB_BATCH
            self.context.mishap = lambda feeds, after=after: self.context.hurried(
                feeds, after, hurry
            )
            self._step("hurried step")

    @precondition(lambda self: self.inside)
    @rule(
        code=st.sampled_from([-1, NO_ROOM]), alone_too=st.sampled_from([False, False, False, True])
    )
    def step_refused(self, code: int, alone_too: bool) -> None:
        """The batch is refused, and perhaps the first job that is tried alone as well."""

        def again(_: Sequence[Feed]) -> int:
            self.refusals += 1
            return code

        def refuse(_: Sequence[Feed]) -> int:
            self.refusals += 1
            self.context.mishap = again if alone_too else None
            return code

        self.context.mishap = refuse
        self._step("refused step")

    @precondition(lambda self: self.inside)
    @rule()
    def die(self) -> None:
        """The worker is gone; another one takes all of its jobs, behind what was sent."""
        self.tally.operations["death"] += 1
        for handle in self.desk.lent:
            self.desk.pocket.forget(handle)
        self.bench = dataclasses.replace(self.bench)
        for ask in list(self.inside.values()):
            self._send(ask)

    def _step(self, name: str) -> None:
        self.tally.operations[name] += bool(self.inside)
        self._hear(self.bench.batcher.step())
        self.context.mishap = None

    # --- what comes of it -------------------------------------------------------------------------------

    def _send(self, ask: Ask, parked: int | None = None) -> None:
        sent = tuple(self.bench.tokens(ask.job.request_id))
        job = msgspec.structs.replace(ask.job, sent=sent, parked=parked)
        self.inside[job.request_id] = ask
        self.bench.submit_tokens(job, ask.prompt)

    def _resume(self, number: int) -> None:
        ask, handle = self.parked.pop(number)
        lent = handle is not None and self.desk.lend(handle)
        self.tally.operations["resume" if lent else "resume without KV"] += 1
        self._send(ask, handle)

    def _hear(self, told: Sequence[Told]) -> None:
        self.bench.frames += told
        stopped = [frame for frame in told if isinstance(frame, Stopped)]
        runs = self.bench.batcher._runs
        shifted = {number for number, run in runs.items() if run.seat.shifted}
        shifted |= {frame.request_id for frame in stopped if frame.timings.shifted_tokens}
        self.tally.operations["job on moved cells"] += len(shifted - self.shifted)
        self.shifted |= shifted
        for frame in stopped:
            ask = self.inside.pop(frame.request_id)  # a second end is a KeyError
            if frame.halt == Halt.PARKED:
                handle = self.desk.keep(frame.parked) if frame.parked else None
                self.parked[frame.request_id] = (ask, handle)
            else:
                self.tally.operations[f"ended {frame.halt}"] += 1
                self.ended[frame.request_id] = Judged(ask, frame, frame.request_id in self.shifted)

    # --- what always holds ------------------------------------------------------------------------------

    @invariant()
    def the_ledger_is_right(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.bench.check_ledger()
        batcher, ledger = self.bench.batcher, self.bench.batcher.cache.ledger
        assert {*batcher._runs, *batcher._waiting} == set(self.inside)
        used = [run.sequence for run in batcher._runs.values()]
        assert sorted([*used, *batcher._idle]) == list(range(SEQUENCES))
        for run in batcher._runs.values():
            held = ledger.tokens(run.sequence)
            assert held == run.history[: len(held)]

    def teardown(self) -> None:
        try:
            if hasattr(self, "bench"):
                self._finish()
        finally:
            self.desk.close()

    def _finish(self) -> None:
        for number in list(self.parked):
            self._resume(number)
        for _ in range(3000):
            if not self.inside:
                break
            self._step("step")
            self.the_ledger_is_right()
        assert sorted(self.ended) == list(range(1, self.asked + 1)), "each job ends exactly once"
        for judged in self.ended.values():
            self._check_end(judged)
            self._check_tokens(judged)

    def _check_end(self, judged: Judged) -> None:
        """Its number of tokens is right, none was sent twice, and it failed only where it had to."""
        job, end = judged.ask.job, judged.end
        emitted = self.bench.tokens(job.request_id)
        assert len(emitted) <= job.tokens_max
        if end.halt == Halt.DONE:
            assert end.timings.emitted_tokens == len(emitted)
            assert (end.stop.kind == "limit") == (len(emitted) == job.tokens_max)
            text = b"".join(map(self.model.piece, emitted)).decode("utf-8", "replace")
            said = "".join(e.text for e in self.bench.emitted(job.request_id))
            assert said + end.text == text
        if end.halt == Halt.FAILED:
            full = len(judged.ask.prompt) + len(emitted) > CELLS
            assert full or self.refusals, end.detail

    def _check_tokens(self, judged: Judged) -> None:
        """ENGINE.md 14, 19, 20: whatever happened to it and around it, each token is what an undisturbed run draws there."""
        job = judged.ask.job
        emitted = self.bench.tokens(job.request_id)
        greedy = job.sampling in GREEDY
        if judged.shifted and not greedy:
            return
        ended = judged.end.stop is not None and judged.end.stop.kind == "eos"
        found = self.judge.differences(judged.ask.prompt, emitted, job.sampling, ended=ended)
        worst = max(found, default=0.0)
        self.tally.operations["token judged"] += len(found)
        if judged.shifted:  # an approximation without a bound (ENGINE.md 14)
            self.tally.worst_shifted = max(self.tally.worst_shifted, worst)
            return
        self.tally.worst = max(self.tally.worst, worst)
        assert worst <= EPS, found


def _chosen(asks: dict[int, object], which: int) -> int:
    return list(asks)[which % len(asks)]


def test_whatever_happens_each_job_ends_once_and_gets_its_own_tokens(model: Model):
    """The ledger is llama.cpp's own after every wish; nothing is lost, repeated or taken from a wrong cell."""
    sizes = {"batch": 128, "sub_batch": SUB_BATCH, "kv_type": "f16", "threads": 1}
    context = Breakable(model, cells=CELLS, sequences=SEQUENCES, **sizes)
    judge = Judge(model, Context(model, cells=CELLS + 32, sequences=1, **sizes))
    tally = Tally()
    examples, steps = (40, 15) if settings.default.derandomize else (2000, 15)
    run_state_machine_as_test(
        lambda: World(model, context, judge, tally),
        settings=settings(max_examples=examples, stateful_step_count=steps),
    )
    print(tally)
    assert tally.operations["token judged"] > 10 * examples
