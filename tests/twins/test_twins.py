"""Tiny twins: quickly made, of the memory that they stand for, with text that never hangs on one token.

llama.cpp is called directly, because what is tested is what it makes of the files, not our use of it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import llama_cpp as lib
import numpy as np
import numpy.typing as npt
import pytest

from tests.twins.make_twin import make_twin
from tests.twins.shapes import SHAPES, Pooling
from tests.twins.vocabulary import SPECIAL, make_vocabulary

TINY = [name for name, shape in SHAPES.items() if shape.vocabulary == 1024]
WRITERS = [name for name in TINY if SHAPES[name].pooling is None]
PROMPT = np.random.default_rng(5).integers(0, 1000, 40).tolist()
CELLS = 512


class Bare:
    """A model and a context of two sequences, nothing between them and the test."""

    def __init__(self, path: Path) -> None:
        loading = lib.llama_model_default_params()
        loading.n_gpu_layers, loading.use_extra_bufts = 0, False
        self.model = lib.llama_model_load_from_file(str(path).encode(), loading)
        assert self.model
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.n_ubatch = 2 * CELLS, 2, 64
        params.swa_full = False
        params.n_threads = params.n_threads_batch = 1
        self.context = lib.llama_init_from_model(self.model, params)
        assert self.context
        self.memory = lib.llama_get_memory(self.context)
        self.vocabulary = lib.llama_model_get_vocab(self.model)

    def feed(self, tokens: list[int], *, start: int = 0) -> npt.NDArray[np.float32]:
        """Decode into the first sequence; return the logits behind the last token."""
        batch = lib.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for row, token in enumerate(tokens):
            batch.token[row], batch.pos[row] = token, start + row
            batch.n_seq_id[row], batch.seq_id[row][0] = 1, 0
            batch.logits[row] = row == len(tokens) - 1
        code = lib.llama_decode(self.context, batch)
        lib.llama_batch_free(batch)
        assert code == 0
        logits = lib.llama_get_logits_ith(self.context, len(tokens) - 1)
        return np.ctypeslib.as_array(logits, shape=(1024,)).copy()

    def trim(self, start: int) -> bool:
        return bool(lib.llama_memory_seq_rm(self.memory, 0, start, -1))

    def close(self) -> None:
        lib.llama_free(self.context)
        lib.llama_model_free(self.model)


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Callable[[str], Bare]]:
    made: list[Bare] = []

    def make(shape: str) -> Bare:
        path = tmp_path / f"{shape}.gguf"
        make_twin(shape, "f16", path, context=CELLS)
        made.append(Bare(path))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_same_seed_gives_the_same_file(tmp_path: Path):
    paths = [tmp_path / name for name in ("first", "same", "other")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        make_twin("tiny", "f16", path, seed=seed)
    first, same, other = (path.read_bytes() for path in paths)
    assert first == same
    assert first != other


def test_a_small_vocabulary_is_whole_and_ends_in_the_special_tokens():
    vocabulary = make_vocabulary(1024)
    assert len(vocabulary.tokens) == len(set(vocabulary.tokens)) == len(vocabulary.kinds) == 1024
    assert vocabulary.tokens[-len(SPECIAL) :] == list(SPECIAL)
    known = set(vocabulary.tokens)
    assert all({*merge.split(" "), merge.replace(" ", "")} <= known for merge in vocabulary.merges)


@pytest.mark.parametrize("shape", TINY)
def test_fill_in_the_middle_and_the_ends_are_found(bare: Callable[[str], Bare], shape: str):
    vocabulary = bare(shape).vocabulary
    marks = (lib.llama_vocab_fim_pre, lib.llama_vocab_fim_suf, lib.llama_vocab_fim_mid)
    assert all(mark(vocabulary) > 1000 for mark in marks)
    assert lib.llama_vocab_is_eog(vocabulary, lib.llama_vocab_eos(vocabulary))


@pytest.mark.parametrize("shape", WRITERS)
def test_greedy_text_wanders_and_the_best_token_is_ahead(bare: Callable[[str], Bare], shape: str):
    """Else a test that compares tokens would pass on a wrong cache, or fail on a right one."""
    twin = bare(shape)
    logits, tokens, margins = twin.feed(PROMPT), [], []
    for position in range(len(PROMPT), len(PROMPT) + 60):
        second, best = np.sort(logits)[-2:]
        margins.append(best - second)
        tokens.append(int(logits.argmax()))
        logits = twin.feed(tokens[-1:], start=position)
    assert len(set(tokens)) > 30
    assert np.mean(np.array(margins) > 0.05) > 0.85


@pytest.mark.parametrize("shape", WRITERS)
def test_the_next_token_depends_on_the_first_words(bare: Callable[[str], Bare], shape: str):
    """A wrong cell must be seen: other words behind the same last ones move the logits."""
    twin = bare(shape)
    before = twin.feed(PROMPT)
    assert twin.trim(0)
    assert np.abs(before - twin.feed([*PROMPT[20:30], *PROMPT[10:]])).max() > 0.5


@pytest.mark.parametrize(
    ("shape", "hybrid", "recurrent", "window_tokens", "trims"),
    [
        ("tiny", False, False, 0, True),
        ("tiny-window", False, False, 64, True),
        ("tiny-window-nope", False, False, 64, True),
        ("tiny-hybrid", True, False, 0, False),
        ("tiny-recurrent", False, True, 0, False),
    ],
)
def test_each_has_the_memory_it_stands_for(
    bare: Callable[[str], Bare],
    shape: str,
    hybrid: bool,
    recurrent: bool,
    window_tokens: int,
    trims: bool,
):
    twin = bare(shape)
    assert lib.llama_model_is_hybrid(twin.model) == hybrid
    assert lib.llama_model_is_recurrent(twin.model) == recurrent
    assert lib.llama_model_n_swa(twin.model) == window_tokens
    twin.feed(PROMPT)
    assert twin.trim(30) == trims


@pytest.mark.parametrize("shape", ["tiny-window", "tiny-window-nope"])
def test_a_window_forgets_what_it_has_left_behind(bare: Callable[[str], Bare], shape: str):
    """The ring of 256 cells has gone round: only so is a trim that goes too far back seen to be wrong."""
    twin = bare(shape)
    twin.feed(PROMPT * 10)
    assert lib.llama_memory_seq_pos_min(twin.memory, 0) == 400 - 256


@pytest.mark.parametrize(
    ("shape", "pooling", "has_memory"),
    [
        ("tiny-embedding", Pooling.LAST, True),
        ("tiny-embedding-mean", Pooling.MEAN, True),
        ("tiny-encoder", Pooling.CLS, False),
        ("tiny-encoder-mean", Pooling.MEAN, False),
    ],
)
def test_embedding_models_say_how_they_pool(
    bare: Callable[[str], Bare], shape: str, pooling: Pooling, has_memory: bool
):
    twin = bare(shape)
    assert lib.llama_pooling_type(twin.context) == pooling
    assert bool(twin.memory) == has_memory
