"""When requests that share a model end, by the turns its worker gives them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.outlook import Work, outlook
from policies.request import Class
from policies.speed import Load
from policies.step import TURN_STEPS

CHUNK_S = 0.4
CHUNK = 100
STEP_S = 0.05


class Known:
    """A machine whose prices are known: a chunk in proportion, a decode step the same for any number."""

    drifted = False

    def observe(self, load: Load, duration_s: float) -> None:
        raise AssertionError("a forecast learns nothing")

    def step_s(self, load: Load) -> float:
        return CHUNK_S * load.prefill_tokens / CHUNK if load.prefill_tokens else STEP_S


def times(*works: Work):
    return outlook(Known(), works, chunk_tokens=CHUNK)


CURSOR, FOREGROUND, DEFERRED = Class.INTERACTIVE, Class.FOREGROUND, Class.DEFERRED
BACKGROUND = Class.BACKGROUND


def test_alone_a_request_takes_its_prompt_and_its_steps():
    """The first token comes out of the last chunk, so that one step fewer than tokens follows."""
    (only,) = times(Work(FOREGROUND, 300, 21))
    assert only.first_s == pytest.approx(3 * CHUNK_S)
    assert only.whole_s == pytest.approx(3 * CHUNK_S + 20 * STEP_S)


def test_nothing_to_do_takes_no_time():
    assert times() == []
    (done,) = times(Work(FOREGROUND, 0, 0))
    assert done.whole_s == 0


def test_a_prompt_as_urgent_takes_turns_with_who_decodes():
    """A step for each chunk, where no pause was promised: both are the later for it."""
    decoding, prompt = times(Work(DEFERRED, 0, 10), Work(DEFERRED, 200, 1))
    assert prompt.first_s == prompt.whole_s == pytest.approx(2 * (CHUNK_S + STEP_S))
    assert decoding.whole_s == pytest.approx(2 * CHUNK_S + 10 * STEP_S)


def test_a_more_urgent_prompt_goes_first():
    decoding, prompt = times(Work(BACKGROUND, 0, 10), Work(CURSOR, 200, 1))
    assert prompt.first_s == pytest.approx(2 * CHUNK_S)
    assert decoding.whole_s == pytest.approx(2 * CHUNK_S + 10 * STEP_S)


@pytest.mark.parametrize("klass", [CURSOR, FOREGROUND])
def test_chunks_are_as_short_as_the_promised_pauses_ask(klass: Class):
    """A foreground row waits 0.25 s at most: 0.2 s for 50 tokens, then its step. More urgent prompts keep that too."""
    decoding, prompt = times(Work(FOREGROUND, 0, 10), Work(klass, 200, 1))
    assert prompt.first_s == pytest.approx(4 * 0.25)
    assert decoding.whole_s == pytest.approx(2 * CHUNK_S + 10 * STEP_S)


def test_a_less_urgent_prompt_has_a_short_chunk_now_and_then():
    """What fits the quantum, 12 tokens, behind `TURN_STEPS` steps of those who are more urgent."""
    _, prompt = times(Work(CURSOR, 0, 10_000), Work(BACKGROUND, 240, 1))
    assert prompt.first_s == pytest.approx(20 * (0.12 * CHUNK_S + TURN_STEPS * STEP_S))


def test_less_urgent_rows_decode_now_and_then_until_the_others_are_gone():
    urgent, lesser = times(Work(CURSOR, 0, TURN_STEPS), Work(BACKGROUND, 0, 10))
    assert urgent.whole_s == pytest.approx((TURN_STEPS + 1) * STEP_S)
    assert lesser.whole_s == pytest.approx((TURN_STEPS + 1 + 9) * STEP_S)


def test_prompts_of_a_class_are_read_one_after_the_other():
    first, second = times(Work(FOREGROUND, 100, 1), Work(FOREGROUND, 100, 1))
    assert (first.first_s, second.first_s) == pytest.approx((CHUNK_S, 2 * CHUNK_S))


WORKS = st.lists(
    st.builds(Work, st.sampled_from(Class), st.integers(0, 2000), st.integers(0, 500)), max_size=12
)


@given(WORKS)
def test_whatever_there_is_ends(works: list[Work]):
    """First tokens before last ones, and nobody later than all the work together, done one by one."""
    found = times(*works)
    together_s = sum(work.prompt_tokens * CHUNK_S / CHUNK + work.tokens * STEP_S for work in works)
    for work, one in zip(works, found, strict=True):
        assert 0 <= one.first_s <= one.whole_s <= together_s * (1 + 1e-6) + 1e-9
        assert (one.whole_s > 0) == (work.prompt_tokens + work.tokens > 0)


@given(WORKS, st.integers(0, 11))
def test_nobody_gains_by_company(works: list[Work], which: int):
    """Who comes last in the list, and is less urgent than nobody, delays or leaves alone: it never helps."""
    if which >= len(works):
        return
    (alone,) = times(works[which])
    assert times(*works)[which].whole_s >= alone.whole_s * (1 - 1e-9)
