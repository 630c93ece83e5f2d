"""Vectors of every way to pool are those that llama.cpp makes of the text alone, whoever shares the steps."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import llama_cpp as lib
import numpy as np
import numpy.typing as npt
import pytest

from engines import llama
from engines.embedder import Embedder, Terms, normalised
from engines.engine import Embed, Job, Stepped, Stopped
from engines.framing import Framing
from engines.gguf import read_header
from engines.llama import DECODED, Context, Feed
from engines.run import Arrival
from policies.messages import Halt
from tests.engines.conftest import POOLED
from tests.engines.native import SOURCE, Ticks

CELLS, BUDGET = 512, 128
ALIKE = 0.9999
LENGTHS = (1, 3, 40, 120, 200, 500, 900)
"""Characters of the texts: some share a step, some take several."""


class Refusing(Context):
    """llama.cpp, as it might be: it refuses batches of which a test says so."""

    refuses: Callable[[list[Feed]], bool] = staticmethod(lambda _feeds: False)

    def decode(self, feeds) -> int:
        return -3 if self.refuses(list(feeds)) else super().decode(feeds)


@dataclass
class Bench:
    """One embedder in this process and all that it said."""

    path: Path
    frames: list[Stepped | Stopped] = field(default_factory=list)

    def __post_init__(self) -> None:
        llama.start()
        self.model = llama.Model(str(self.path), gpu_layers=0, extra_buffers=False)
        self.whole = read_header(self.path).whole
        batch = CELLS if self.whole else BUDGET
        self.context = Refusing(
            self.model,
            cells=CELLS,
            batch=batch,
            sub_batch=batch,
            sequences=4,
            kv_type="f16",
            threads=1,
            whole=self.whole,
        )
        terms = Terms(running_max=4, budget_tokens=BUDGET, whole=self.whole)
        self.embedder = Embedder(self.context, terms, clock=Ticks())
        self.framing = Framing(self.model, context=CELLS)

    def submit(self, number: int, text: str, **given: object) -> None:
        layout = self.framing.lay_out(Embed(text), 0)
        self.embedder.submit(Arrival(Job(number, Embed(text), 0, **given), layout, 0.0))

    def step(self) -> tuple[int, ...]:
        """Take one step; return who shared it."""
        aboard = self.embedder.aboard()
        self.frames += self.embedder.step()
        return aboard

    def run(self) -> list[tuple[int, ...]]:
        steps = []
        while self.embedder.rest_s is not None:
            steps.append(self.step())
            assert len(steps) < 100, "it does not end"
        return steps

    def ended(self) -> list[int]:
        return [f.request_id for f in self.frames if isinstance(f, Stopped)]

    def stopped(self, number: int) -> Stopped:
        (end,) = (f for f in self.frames if isinstance(f, Stopped) and f.request_id == number)
        return end

    def vector(self, number: int) -> npt.NDArray[np.float32]:
        return np.frombuffer(self.stopped(number).vector, "<f4")

    def embed(self, number: int, text: str) -> npt.NDArray[np.float32]:
        self.submit(number, text)
        self.run()
        return self.vector(number)

    def direct(self, text: str) -> npt.NDArray[np.float32]:
        """What llama.cpp makes of the text alone: one context for it, one batch, one graph."""
        tokens = self.framing.lay_out(Embed(text), 0).tokens
        params = lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = CELLS
        params.n_seq_max, params.embeddings, params.n_threads = 1, True, 1
        context = lib.llama_init_from_model(self.model.handle, params)
        batch = lib.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for row, token in enumerate(tokens):
            batch.token[row], batch.pos[row], batch.logits[row] = token, row, 1
            batch.n_seq_id[row], batch.seq_id[row][0] = 1, 0
        assert lib.llama_decode(context, batch) == 0
        pointer = lib.llama_get_embeddings_seq(context, 0)
        vector = np.ctypeslib.as_array(pointer, shape=(self.model.dimension,)).copy()
        lib.llama_batch_free(batch)
        lib.llama_free(context)
        return normalised(vector)


@pytest.fixture(params=POOLED)
def bench(request: pytest.FixtureRequest, weights: dict[str, Path]) -> Bench:
    """An embedder over each twin that pools."""
    return Bench(weights[request.param])


@pytest.fixture
def last(weights: dict[str, Path]) -> Bench:
    """One that reads texts in parts."""
    return Bench(weights["tiny-embedding"])


@pytest.fixture
def encoder(weights: dict[str, Path]) -> Bench:
    """One that takes a text at once, and several beside each other."""
    return Bench(weights["tiny-encoder-mean"])


def test_vectors_are_those_of_the_text_alone(bench: Bench):
    """Also of texts that shared their steps with others, waited for a sequence, or came in parts."""
    texts = [SOURCE[:chars] for chars in LENGTHS]
    for number, text in enumerate(texts):
        bench.submit(number, text)
    bench.run()
    for number, text in enumerate(texts):
        assert bench.vector(number) @ bench.direct(text) > ALIKE
        assert np.linalg.norm(bench.vector(number)) == pytest.approx(1.0, abs=1e-5)
    assert len({bench.stopped(number).vector for number in range(len(texts))}) == len(texts)


def test_together_is_as_one_by_one_and_again_the_same(bench: Bench):
    """What was embedded before leaves nothing behind."""
    alone = [bench.embed(number, SOURCE[:chars]) for number, chars in enumerate(LENGTHS)]
    for number, chars in enumerate(LENGTHS):
        bench.submit(100 + number, SOURCE[:chars])
    bench.run()
    for number, vector in enumerate(alone):
        assert vector @ bench.vector(100 + number) > ALIKE


def test_a_special_token_in_a_text_is_text(bench: Bench):
    """A document may speak of the tokens of a tokenizer; no text ends there."""
    marked, plain = "see <|endoftext|> here", "see  here"
    tokens = bench.framing.lay_out(Embed(marked), 0).tokens
    assert len(tokens) > 5
    assert [token for token in tokens if token == bench.model.eos] == [tokens[-1]], "the frame's"
    assert bench.embed(1, marked) @ bench.embed(2, plain) < ALIKE


@pytest.mark.parametrize(
    "text", ["\x00", "\ud800", "é☃", " " * 300, "\n", "[CLS] [SEP]", "<s></s>"]
)
def test_no_text_is_too_strange(bench: Bench, text: str):
    assert bench.embed(1, text).shape == (bench.model.dimension,)


def test_the_longest_text_fits_and_steps_report_every_token(bench: Bench):
    text = "x " * 2000
    while len(bench.framing._model.tokenize(text, framed=True)) > CELLS:
        text = text[:-2]
    tokens = len(bench.framing.lay_out(Embed(text), 0).tokens)
    assert tokens > CELLS - 3
    bench.embed(1, text)
    assert sum(f.prefilled_tokens for f in bench.frames if isinstance(f, Stepped)) == tokens
    assert bench.stopped(1).timings.prompt_tokens == tokens


def test_a_long_text_is_read_in_parts_where_that_is_right(last: Bench):
    last.submit(1, SOURCE)
    assert len(last.run()) > 2
    assert max(f.prefilled_tokens for f in last.frames if isinstance(f, Stepped)) <= BUDGET


def test_short_texts_share_a_step_and_long_ones_do_not(encoder: Bench):
    for number, chars in enumerate((40, 40, 40, 500)):
        encoder.submit(number, SOURCE[:chars])
    assert encoder.run() == [(0, 1, 2), (3,)]


def test_the_most_urgent_text_goes_first(bench: Bench):
    """Also ahead of a text that is partly read."""
    bench.submit(1, SOURCE)
    bench.submit(2, SOURCE)
    bench.step()
    bench.submit(3, "now", urgency=5.0)
    bench.run()
    assert bench.ended().index(3) == (1 if bench.whole else 0)


def test_who_must_run_alone_shares_no_step(bench: Bench):
    """ENGINE.md 22: only so is it known who kills a worker."""
    for number in range(4):
        bench.submit(number, "short", alone=number == 1)
    assert all(aboard == (1,) for aboard in bench.run() if 1 in aboard)


@pytest.mark.parametrize(("take_back", "halt"), [("stop", Halt.STOPPED), ("park", Halt.PARKED)])
def test_a_text_that_is_taken_back_leaves_room_and_nothing_else(
    bench: Bench, take_back: str, halt: Halt
):
    bench.submit(1, SOURCE)
    bench.submit(2, SOURCE)
    bench.embedder.aboard()
    bench.frames += getattr(bench.embedder, take_back)(1)
    assert bench.stopped(1).halt == halt
    assert bench.stopped(1).vector == b""
    assert getattr(bench.embedder, take_back)(77) == []
    bench.run()
    assert bench.vector(2) @ bench.direct(SOURCE) > ALIKE


def test_a_pause_lets_lesser_texts_rest_but_for_a_step_now_and_then(bench: Bench):
    """ENGINE.md 12: what is urgent elsewhere has the cores."""
    bench.submit(1, "lesser")
    bench.embedder.pause(2.0, 0.5)
    assert 0 < bench.embedder.rest_s <= 0.5
    assert bench.step() == ()
    bench.submit(2, "urgent", urgency=3.0)
    assert bench.embedder.rest_s == 0.0
    while 2 not in bench.ended():
        assert bench.step() == (2,)
    bench.embedder.unpause()
    bench.run()
    assert bench.ended() == [2, 1]


def test_a_refused_batch_costs_only_him_who_is_refused_alone(bench: Bench):
    """ENGINE.md 8: the others go on, and their vectors are right."""
    spoilt = bench.framing.lay_out(Embed("spoilt"), 0).tokens[0]
    bench.context.refuses = lambda feeds: any(feed.tokens[0] == spoilt for feed in feeds)
    for number, text in enumerate(("one", "spoilt", "two")):
        bench.submit(number, text)
    bench.run()
    assert bench.stopped(1).halt == Halt.FAILED
    assert "code -3" in bench.stopped(1).detail
    for number, text in ((0, "one"), (2, "two")):
        assert bench.vector(number) @ bench.direct(text) > ALIKE


def test_a_batch_that_failed_half_way_is_finished_one_by_one(last: Bench):
    """ENGINE.md 8, 10: what the graphs before the failure have read is in the cache, where it would be refused again."""
    texts = ("one two three", "four five six")
    failed = []

    def fail_once(feeds: list[Feed]) -> bool:
        if len(feeds) < 2 or len(failed) == 2 or len(feeds[0].tokens) in failed:
            return False
        failed.append(len(feeds[0].tokens))
        assert Context.decode(last.context, feeds[:1]) == DECODED
        return True

    last.context.refuses = fail_once
    for number, text in enumerate(texts):
        last.submit(number, text)
    last.run()
    assert len(failed) == 2, "once as they were read, once as their ends were pooled"
    for number, text in enumerate(texts):
        assert last.stopped(number).halt == Halt.DONE, last.stopped(number).detail
        assert last.vector(number) @ last.direct(text) > ALIKE


@pytest.mark.parametrize("numbers", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_what_has_no_direction_is_no_vector(numbers: list[float]):
    assert normalised(np.array(numbers, np.float32)) is None
