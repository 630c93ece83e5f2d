"""What moves KV, on real llama.cpp: the cache's rules, and what would go wrong without them."""

from pathlib import Path

import numpy as np
import pytest

from engines.cache import Cache
from engines.kv import Ledger
from engines.llama import ABORTED, DECODED, Context, Feed, Model
from engines.selftest import probe
from tests.engines.judge import EPS
from tests.engines.native import SOURCE, make_context

pytestmark = pytest.mark.slow

MB = 2**20


@pytest.fixture(scope="module")
def context(model: Model) -> Context:
    return make_context(model, sequences=4, sub_batch=32)


@pytest.fixture
def cache(context: Context) -> Cache:
    for sequence in range(context.sequences):
        context.remove(sequence, 0)
    context.resume()
    return Cache(context, can_trim=True, can_shift=False, kept_bytes=64 * MB)


@pytest.fixture(scope="module")
def ids(model: Model) -> list[int]:
    return model.tokenize(SOURCE * 3)


def evaluate(cache: Cache, sequence: int, tokens: list[int]) -> int:
    """Evaluate tokens behind what the sequence holds, 128 at a time; the last one's logits are wanted."""
    code = DECODED
    for at in range(0, len(tokens), 128):
        held = cache.ledger.length(sequence)
        feed = Feed(sequence, held, tokens[at : at + 128], wants_logits=at + 128 >= len(tokens))
        code = cache.evaluate([feed])
    return code


def logits_of(cache: Cache, context: Context, sequence: int, tokens: list[int]) -> np.ndarray:
    assert evaluate(cache, sequence, tokens) == DECODED
    return context.logits(0).copy()


def check(cache: Cache, context: Context) -> None:
    """ENGINE.md 5: the ledger's lengths are llama.cpp's."""
    lengths = [context.length(sequence) for sequence in range(context.sequences)]
    assert [cache.ledger.length(s) for s in range(context.sequences)] == lengths


def test_a_copied_prefix_gives_the_very_same_logits(cache: Cache, context: Context, ids):
    """ENGINE.md 14: reuse is exact; here bit for bit, because a copy is laid out as its source is."""
    evaluate(cache, 0, ids[:300])
    seat = cache.seat(ids[:320], idle=[1, 2], busy=[0, 3])
    assert (seat.sequence, seat.cached, seat.shifted) == (1, 300, 0)
    theirs = logits_of(cache, context, 0, ids[300:301])
    ours = logits_of(cache, context, 1, ids[300:301])
    assert np.array_equal(theirs, ours)
    check(cache, context)


def test_what_happens_to_a_copy_does_not_happen_to_its_source(cache: Cache, context: Context, ids):
    """ENGINE.md 15: shared cells would be moved under the source; a copy's are its own."""
    evaluate(cache, 0, ids[:200])
    cache.seat(ids[:220], idle=[1], busy=[0])
    context.remove(1, 10, 50)
    context.shift(1, 50, -40)
    theirs = logits_of(cache, context, 0, ids[200:201])
    cache.trim(0, 0)
    evaluate(cache, 0, ids[:200])
    assert np.array_equal(theirs, logits_of(cache, context, 0, ids[200:201]))


def test_shared_cells_are_corrupted_by_a_shift(model: Model, ids, monkeypatch):
    """ENGINE.md 15, the reason: in a unified cache a shift of one owner silently moves the other's cells."""
    import llama_cpp as lib

    make = lib.llama_init_from_model

    def unified(handle, params):
        params.kv_unified = True
        return make(handle, params)

    monkeypatch.setattr(lib, "llama_init_from_model", unified)
    context = make_context(model, sequences=2)
    context.decode([Feed(0, 0, ids[:100], wants_logits=False)])
    lib.llama_memory_seq_cp(context._memory, 0, 1, 0, 100)
    context.remove(1, 10, 50)
    context.shift(1, 50, -40)
    assert context.length(0) == 60, "sequence 0 was never touched, and its last cell has moved"


def test_a_prompt_that_lost_its_sequence_comes_back_as_it_was(cache: Cache, context: Context, ids):
    """Rule 2: kept in the host's memory, given back bit for bit."""
    expected = logits_of(cache, context, 0, ids[:250])
    other = ids[300:400]
    seat = cache.seat(other, idle=[0], busy=[1, 2, 3])
    assert (seat.sequence, seat.cached) == (0, 0)
    assert cache.kept_bytes > 0
    evaluate(cache, 0, other)
    back = cache.seat(ids[:250], idle=[2], busy=[0])
    assert (back.sequence, back.cached) == (2, 249)
    assert np.array_equal(logits_of(cache, context, 2, ids[249:250]), expected)
    assert cache.kept_bytes == 0, "it lives on in its sequence"
    check(cache, context)


def test_the_cells_of_others_are_not_attended_over(cache: Cache, context: Context, ids):
    """ENGINE.md 7: with cells of its own a sequence computes the very same beside 600 foreign ones as alone."""
    evaluate(cache, 0, ids[:100])
    alone = logits_of(cache, context, 0, ids[100:101])
    cache.trim(0, 100)
    for other in (1, 2, 3):
        evaluate(cache, other, ids[other : other + 200])
    assert np.array_equal(logits_of(cache, context, 0, ids[100:101]), alone)


def test_kept_prompts_have_a_cap_and_the_oldest_goes_first(context: Context, ids):
    """ENGINE.md 7: what is retained has a price, here host memory, and a named limit."""
    for sequence in range(context.sequences):
        context.remove(sequence, 0)
    cache = Cache(context, can_trim=True, can_shift=False, kept_bytes=MB)
    prompts = [[number + 300, *ids[:200]] for number in range(4)]
    for prompt in prompts:
        cache.seat(prompt, idle=[0], busy=[])
        evaluate(cache, 0, prompt)
    cache.vacate(0)
    assert 0 < cache.kept_bytes <= MB
    assert cache.cached_tokens(prompts[0]) == 0
    assert cache.cached_tokens(prompts[3]) == 200


def test_a_moved_chunk_saves_its_prefill_and_is_an_approximation(context: Context, ids):
    """ENGINE.md 14: what moved is reported; its logits are near, not equal."""
    for sequence in range(context.sequences):
        context.remove(sequence, 0)
    cache = Cache(context, can_trim=True, can_shift=True, kept_bytes=0)
    evaluate(cache, 0, ids[:300])
    scrolled = [*ids[:10], *ids[50:300], *ids[:5]]
    seat = cache.seat(scrolled, idle=[0], busy=[])
    assert (seat.cached, seat.shifted) == (260, 250)
    assert cache.turning
    near = logits_of(cache, context, 0, scrolled[260:])
    assert not cache.turning
    check(cache, context)
    exact = logits_of(cache, context, 1, scrolled)
    moved = float(np.abs(near - exact).max())
    print(f"largest difference of a logit behind 250 moved tokens: {moved:.3f}")
    assert 0 < moved < 3.0
    assert list(cache.ledger.tokens(0)) == scrolled


def test_a_chunk_does_not_move_in_a_sequence_that_has_lost_cells(weights: dict[str, Path]):
    """ENGINE.md 5, 17: a restored window model has only its window's cells, and llama.cpp drops none between them."""
    window = Model(str(weights["tiny-window"]), gpu_layers=0, extra_buffers=False)
    context = make_context(window, sequences=4)
    assert probe(window, context).shift
    ids = window.tokenize(SOURCE * 3)
    cache = Cache(context, can_trim=True, can_shift=True, kept_bytes=64 * MB)
    evaluate(cache, 0, ids[:300])
    cache.vacate(0)
    assert cache.seat([*ids[:300], 5], idle=[0], busy=[1]).cached == 300, "it is restored"
    scrolled = [*ids[:10], *ids[50:300], *ids[:5]]
    cached = cache.seat(scrolled, idle=[0], busy=[]).cached
    seen = logits_of(cache, context, 0, scrolled[cached:])
    check(cache, context)
    fresh = logits_of(cache, context, 1, scrolled)
    assert np.abs(seen - fresh).max() < EPS


def test_an_approximation_is_known_as_one_wherever_it_goes(context: Context, ids):
    """ENGINE.md 14: who reuses moved cells later, in place, copied or kept, is told so as well."""
    for sequence in range(context.sequences):
        context.remove(sequence, 0)
    cache = Cache(context, can_trim=True, can_shift=True, kept_bytes=64 * MB)
    evaluate(cache, 0, ids[:300])
    scrolled = [*ids[:10], *ids[50:300]]
    cache.seat([*scrolled, 5], idle=[0], busy=[])
    evaluate(cache, 0, [5, 6])
    assert cache.seat([*scrolled, 7], idle=[1], busy=[0]).shifted == 250
    assert cache.seat([*scrolled[:10], 8], idle=[2], busy=[0]).shifted == 0
    cache.vacate(0)
    cache.vacate(1)
    back = cache.seat([*scrolled, 9], idle=[3], busy=[])
    assert (back.cached, back.shifted) == (260, 250)


def test_nothing_is_saved_while_keys_wait_to_be_turned(context: Context, ids):
    """ENGINE.md 16: it would be saved unturned under its new positions."""
    for sequence in range(context.sequences):
        context.remove(sequence, 0)
    cache = Cache(context, can_trim=True, can_shift=True, kept_bytes=64 * MB)
    evaluate(cache, 0, ids[:300])
    cache.seat([*ids[:10], *ids[50:300], 5], idle=[0], busy=[])
    cache.vacate(0)
    assert cache.kept_bytes == 0


def test_what_an_abort_leaves_behind_is_brought_into_line(cache: Cache, context: Context, ids):
    """ENGINE.md 10: finished sub-batches stay; the token whose logits were lost is evaluated again."""
    fresh = logits_of(cache, context, 1, ids[:120])
    calls = []
    decode = context.decode

    def aborted_late(feeds):
        """As if the flag had been raised when three of four sub-batches were through."""
        calls.append(
            decode([Feed(f.sequence, f.position, f.tokens[:96], wants_logits=False) for f in feeds])
        )
        context.abort()
        code = decode(
            [Feed(f.sequence, f.position + 96, f.tokens[96:], f.wants_logits) for f in feeds]
        )
        context.resume()
        return code

    context.decode = aborted_late
    try:
        assert cache.evaluate([Feed(0, 0, ids[:120], wants_logits=True)]) == ABORTED
    finally:
        context.decode = decode
    assert calls == [DECODED]
    assert cache.ledger.length(0) == 96
    check(cache, context)
    assert np.array_equal(logits_of(cache, context, 0, ids[96:120]), fresh)


def test_a_token_that_was_through_without_logits_is_taken_back(cache: Cache, context: Context, ids):
    """ENGINE.md 10: resubmitting it would be refused."""
    decode = context.decode
    context.decode = lambda feeds: (
        decode(feeds) or ABORTED
    )  # all is through, and then the flag is seen
    try:
        assert cache.evaluate([Feed(0, 0, ids[:40], wants_logits=True)]) == ABORTED
    finally:
        context.decode = decode
    assert cache.ledger.length(0) == 39
    check(cache, context)
    assert evaluate(cache, 0, ids[39:40]) == DECODED


def test_a_sequence_that_cannot_be_trimmed_starts_again_after_an_abort(context: Context, ids):
    """ENGINE.md 10, 17: a recurrent state has moved on, and there is no way back."""
    for sequence in range(context.sequences):
        context.remove(sequence, 0)
    cache = Cache(context, can_trim=False, can_shift=False, kept_bytes=0)
    evaluate(cache, 0, ids[:50])
    context.abort()
    assert cache.evaluate([Feed(0, 50, ids[50:60], wants_logits=True)]) == ABORTED
    context.resume()
    assert cache.ledger.length(0) == 0
    check(cache, context)


def test_a_state_that_llama_cpp_refuses_leaves_an_empty_sequence(
    cache: Cache, context: Context, ids
):
    """ENGINE.md 18: bytes that are no state must neither crash nor stay."""
    noise = np.random.default_rng(1).integers(0, 255, 4096, dtype=np.uint8)
    assert not cache.restore(2, ids[:30], noise.ctypes.data, noise.nbytes)
    check(cache, context)
    assert evaluate(cache, 2, ids[:30]) == DECODED


def test_padding_changes_no_other_sequence(cache: Cache, context: Context, ids):
    """A step may be padded with idle sequences: what they evaluate is thrown away at once."""
    evaluate(cache, 0, ids[:60])
    evaluate(cache, 1, ids[:70])
    feed = Feed(0, 60, ids[60:61], wants_logits=True)
    assert cache.evaluate([feed], padding=[1, 2]) == DECODED
    check(cache, context)
    assert cache.ledger.length(1) == 70
    assert isinstance(cache.ledger, Ledger)
    padded = context.logits(0).copy()
    cache.trim(0, 60)
    assert cache.evaluate([feed]) == DECODED
    assert np.abs(context.logits(0) - padded).max() < 0.05
