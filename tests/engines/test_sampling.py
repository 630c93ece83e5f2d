"""The choice of a token: without state, the same for the same logits, seed and position (ENGINE.md 19)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.engine import Sampling
from engines.sampling import Sampler, best, logprob, score

PIECES = [b"", b"a", b"ab", b"x", b"y", b"z", b" ", b"\n"]
END = 0


def sampler(**given: object) -> Sampler:
    return Sampler(Sampling(**given), frozenset({END}), lambda token: PIECES[token % len(PIECES)])


def logits(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def drawn(numbers: np.ndarray, draws: int = 400, **given: object) -> set[int]:
    """Which tokens come up over many positions."""
    one = sampler(temperature=1.0, **given)
    return {one.draw(numbers, [1] * position) for position in range(draws)}


EVEN = logits(*[math.log(p) for p in (0.05, 0.4, 0.3, 0.15, 0.07, 0.03)])


def test_the_default_is_greedy():
    rng = np.random.default_rng(1)
    for _ in range(20):
        numbers = rng.normal(size=500).astype(np.float32)
        assert sampler(seed=7).draw(numbers, [1, 2]) == int(np.argmax(numbers))


def test_of_equal_logits_the_lowest_token_is_taken():
    assert sampler().draw(logits(0, 3, 3, 1), []) == 1
    assert sampler(ignore_eos=True).draw(logits(5, 3, 3, 1), []) == 1


def test_a_draw_depends_on_seed_and_position_alone():
    """ENGINE.md 19: a second sampler, given the same tokens, goes on with the same draws."""
    numbers = np.random.default_rng(2).normal(size=200).astype(np.float32)
    first, second = (sampler(temperature=1.0, seed=3) for _ in range(2))
    whole = [first.draw(numbers, [1] * n) for n in range(30)]
    assert [second.draw(numbers, [1] * n) for n in range(15, 30)] == whole[15:]
    assert [sampler(temperature=1.0, seed=4).draw(numbers, [1] * n) for n in range(30)] != whole


def test_draws_follow_the_probabilities():
    one = sampler(temperature=1.0)
    seen = np.bincount([one.draw(EVEN, [1] * n) for n in range(2000)], minlength=6) / 2000
    assert np.abs(seen - np.exp(EVEN)).max() < 0.04


def test_a_low_temperature_is_nearly_greedy():
    one = sampler(temperature=0.01)
    assert {one.draw(EVEN, [1] * n) for n in range(200)} == {1}


def test_top_k_top_p_and_min_p_keep_the_likeliest():
    assert drawn(EVEN, top_k=2) == {1, 2}
    assert drawn(EVEN, top_k=0) == {0, 1, 2, 3, 4, 5}
    assert drawn(EVEN, top_p=0.6) == {1, 2}
    assert drawn(EVEN, top_p=0.0) == {1}
    assert drawn(EVEN, min_p=0.3) == {1, 2, 3}
    assert drawn(EVEN, min_p=1.0) == {1}


def test_penalties_look_at_the_last_tokens_only():
    numbers = logits(0.0, 3.0, 2.9, -1.0)
    assert sampler(repeat_penalty=1.5).draw(numbers, [1]) == 2
    assert sampler(presence_penalty=0.5).draw(numbers, [1]) == 2
    assert sampler(frequency_penalty=0.06).draw(numbers, [1]) == 1
    assert sampler(frequency_penalty=0.06).draw(numbers, [1, 1]) == 2
    assert sampler(repeat_penalty=1.5, penalty_tokens=2).draw(numbers, [1, 0, 0]) == 1
    assert sampler(repeat_penalty=1.5, penalty_tokens=0).draw(numbers, [1]) == 1


def test_a_repeated_token_with_a_negative_logit_loses_too():
    assert sampler(repeat_penalty=2.0).draw(logits(-9, -1.0, -1.5), [1]) == 2


def test_bias_and_ignored_ends():
    numbers = logits(5.0, 1.0, 0.0)
    assert sampler(ignore_eos=True).draw(numbers, []) == 1
    assert sampler(logit_bias=((2, 10.0),)).draw(numbers, []) == 2
    assert sampler(logit_bias=((0, -math.inf),)).draw(numbers, []) == 1
    assert sampler(logit_bias=((99, 10.0), (-1, 10.0))).draw(numbers, []) == 0
    assert float(numbers[0]) == 5.0, "the caller's logits stay as they are"


def test_infill_ends_where_the_ends_together_outweigh_the_text():
    """Rule 1 of llama.cpp's infill sampler: three times p(end) times the candidates, against p(text)."""
    p_end = logits(*[math.log(p) for p in (0.06, 0.5, 0.24, 0.2)])
    assert (
        sampler(infill=True, top_k=4).draw(p_end, []) == sampler(infill=True).draw(p_end, []) == 1
    )
    more = logits(*[math.log(p) for p in (0.1, 0.5, 0.22, 0.18)])
    assert sampler(infill=True, top_k=4).draw(more, []) == END


def test_infill_ends_where_no_text_is_likely():
    """Rule 2; tokens that begin alike count together."""
    unlike = logits(-50, *[math.log(1 / 7)] * 2, *[math.log(1 / 7)] * 5)
    assert sampler(infill=True).draw(unlike[[0, 3, 4, 5, 6, 7]], []) == 1, "0.2 each is enough"
    ends = Sampler(Sampling(infill=True), frozenset({END}), lambda token: bytes([token]) * 3)
    assert ends.draw(unlike, []) == END
    alike = Sampler(Sampling(infill=True), frozenset({END}), lambda token: b"aaaaaaaa"[:token])
    assert alike.draw(unlike, []) == 1


def test_infill_does_not_end_what_must_not_end():
    unlike = logits(5, *[0.0] * 7)
    assert sampler(infill=True, ignore_eos=True, top_k=0).draw(unlike, []) != END


HARSH = st.sampled_from(
    [0.0, -1.0, 1e-320, 1e-30, 1.0, 5.0, 1e30, 1e308, math.inf, -math.inf, math.nan]
)


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@given(
    temperature=HARSH, top_p=HARSH, min_p=HARSH, repeat_penalty=HARSH, frequency_penalty=HARSH,
    presence_penalty=HARSH, bias=HARSH, top_k=st.sampled_from([-5, 0, 1, 3, 10**9]),
    penalty_tokens=st.sampled_from([-1, 0, 2, 10**9]), seed=st.sampled_from([-1, 0, 2**64, 10**30]),
    infill=st.booleans(), ignore_eos=st.booleans(), shift=st.sampled_from([0.0, -1e30, 1e30]),
)  # fmt: skip
def test_no_setting_is_too_extreme(bias: float, shift: float, **settings: object):
    """Whatever a client asks for, a token of the vocabulary comes out: a worker must not die of a number."""
    one = sampler(logit_bias=((1, bias), (2, bias)), **settings)
    numbers = np.random.default_rng(5).normal(size=50).astype(np.float32) + np.float32(shift)
    assert 0 <= one.draw(numbers, [1, 2, 2, 3]) < 50
    assert 0 <= one.draw(numbers, []) < 50


def test_logprob_is_the_logarithm_of_the_softmax():
    assert logprob(EVEN, 1) == pytest.approx(math.log(0.4), abs=1e-5)
    assert logprob(logits(-1e30, 0.0), 1) == pytest.approx(0.0)


@pytest.mark.slow
@given(
    seed=st.integers(0, 1000), size=st.integers(1, 3000), count=st.integers(1, 200),
    distinct=st.sampled_from([1, 5, 100_000]), forbidden=st.sampled_from([0.0, 0.5, 0.999]),
)  # fmt: skip
def test_the_best_are_those_that_sorting_puts_first(
    seed: int, size: int, count: int, distinct: int, forbidden: float
):
    """Exactly, however many are equal or forbidden: of equal ones the lowest token comes first."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, distinct, size).astype(np.float32)
    numbers[rng.random(size) < forbidden] = -np.inf
    ordered = [t for t in np.lexsort((np.arange(size), -numbers)) if numbers[t] > -np.inf]
    assert best(numbers, count).tolist() == ordered[:count]


def test_a_score_has_the_chosen_token_and_the_likeliest_ones():
    """Natural log-probabilities of the whole distribution; the chosen token need not be among the best."""
    found = score(EVEN, 5, 2, lambda token: PIECES[token])
    assert (found.chosen.token, found.chosen.piece) == (5, PIECES[5])
    assert found.chosen.logprob == pytest.approx(logprob(EVEN, 5)) == pytest.approx(math.log(0.03))
    assert [(likely.token, likely.piece) for likely in found.tops] == [(1, b"a"), (2, b"ab")]
    assert found.tops[1].logprob == pytest.approx(math.log(0.3), abs=1e-6)
    assert score(EVEN, 5, 0, lambda token: PIECES[token]).tops == ()


class Odd:
    """A grammar of odd tokens only. It counts what it is asked."""

    ended = False

    def __init__(self) -> None:
        self.passes = 0
        self.accepted: list[int] = []

    def allows(self, token: int) -> bool:
        return token % 2 == 1

    def accept(self, token: int) -> None:
        self.accepted.append(token)

    def restrict(self, numbers: np.ndarray) -> None:
        self.passes += 1
        numbers[::2] = -np.inf


def under(grammar: Odd, **given: object) -> Sampler:
    return Sampler(Sampling(**given), frozenset({END}), lambda token: PIECES[token], grammar)


def test_a_pass_over_the_vocabulary_is_made_only_where_the_likeliest_is_refused():
    grammar = Odd()
    assert under(grammar).draw(logits(0, 3, 2, 1), []) == 1
    assert grammar.passes == 0
    assert under(grammar).draw(logits(5, 1, 4, 2), []) == 3
    assert grammar.passes == 1


@pytest.mark.parametrize("top_k", [2, 0])
def test_candidates_are_counted_behind_the_grammar(top_k: int):
    """Of four odd tokens, the best two: what is forbidden takes no candidate's place."""
    numbers = logits(9, 1, 9, 3, 9, 4, 9, 2)
    one = under(Odd(), temperature=9.0, top_k=top_k)
    seen = {one.draw(numbers, [1] * position) for position in range(200)}
    assert seen == ({3, 5} if top_k else {1, 3, 5, 7})
    assert float(numbers[0]) == 9.0, "the caller's logits stay as they are"


def test_infill_ends_only_where_the_grammar_may_end():
    numbers = logits(9, 1, 1, 1)
    assert sampler(infill=True).draw(numbers, []) == END
    assert under(Odd(), infill=True).draw(numbers, []) == 1


def test_a_grammar_hears_of_every_token_of_the_answer():
    grammar = Odd()
    one = under(grammar)
    for token in (1, 3):
        one.accept(token)
    assert grammar.accepted == [1, 3]
    assert not one.ended
