"""The ledger of the cache (ENGINE.md 5), and where a prompt finds what it can use of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engines.kv import (
    CHUNK_MIN_TOKENS,
    COPY_SHARE,
    Chunk,
    Ledger,
    Place,
    moved_chunks,
    place,
    reusable,
    shared_prefix,
)

SEQUENCES = 4
sequences = st.integers(0, SEQUENCES - 1)


class Held(RuleBasedStateMachine):
    """A ledger beside a plain model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(SEQUENCES)
        self.held: list[list[int]] = [[] for _ in range(SEQUENCES)]

    @rule(sequence=sequences, tokens=st.lists(st.integers(0, 3), max_size=6))
    def append(self, sequence, tokens):
        self.ledger.append(sequence, tokens)
        self.held[sequence] = self.held[sequence] + tokens

    @rule(sequence=sequences, share=st.floats(0, 1))
    def truncate(self, sequence, share):
        length = int(share * len(self.held[sequence]))
        self.ledger.truncate(sequence, length)
        self.held[sequence] = self.held[sequence][:length]

    @rule(sequence=sequences, start=st.floats(0, 1), end=st.floats(0, 1))
    def cut(self, sequence, start, end):
        held = self.held[sequence]
        low, high = sorted((int(start * len(held)), int(end * len(held))))
        self.ledger.cut(sequence, low, high)
        self.held[sequence] = held[:low] + held[high:]

    @invariant()
    def every_sequence_holds_what_it_was_given(self):
        """Rules 1 and 2: no gaps, and what happens to one sequence happens to no other."""
        assert self.ledger.used_cells == sum(map(len, self.held))
        for sequence, held in enumerate(self.held):
            assert list(self.ledger.tokens(sequence)) == held
            assert self.ledger.length(sequence) == len(held)


TestLedger = pytest.mark.slow(Held.TestCase)
TestLedger.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def filled(*held: list[int]) -> Ledger:
    ledger = Ledger(max(4, len(held)))
    for sequence, tokens in enumerate(held):
        ledger.append(sequence, tokens)
    return ledger


def numbers(length: int, at: int | None = None) -> list[int]:
    """0, 1, 2, ... with another token at one place."""
    return [-1 if n == at else n for n in range(length)]


def placed(prompt, ledger, idle, busy=(), kept=(), *, can_trim=True, turn_tokens=None) -> Place:
    return place(prompt, ledger, idle, busy, kept, can_trim=can_trim, turn_tokens=turn_tokens)


def test_the_shared_prefix_is_found_wherever_the_lists_part():
    for length in (1, 2, 3, 7, 64, 100):
        for at in range(length):
            assert shared_prefix(numbers(length), numbers(length + 3, at)) == at
        assert shared_prefix(numbers(length), numbers(length + 5)) == length
    assert shared_prefix([], [1]) == 0


def test_a_prompt_never_reuses_all_of_itself():
    """Rule 4: the logits of its last token are needed."""
    assert reusable(numbers(50), numbers(50), can_trim=True) == 49
    assert reusable(numbers(50), numbers(30), can_trim=True) == 29
    assert reusable(numbers(50), [0], can_trim=True) == 0


def test_what_cannot_be_trimmed_is_reused_only_as_a_whole():
    """Rule 5 (ENGINE.md 17)."""
    assert reusable(numbers(50), numbers(40), can_trim=False) == 0
    assert reusable(numbers(20), numbers(40), can_trim=False) == 20
    assert reusable(numbers(20), numbers(20), can_trim=False) == 0


def test_where_nothing_helps_the_oldest_idle_sequence_is_emptied():
    """Place 5."""
    assert placed(numbers(10), filled([9, 9], [8, 8]), [1, 0]) == Place(1)


def test_a_prompt_goes_on_in_the_sequence_that_is_most_of_its_beginning():
    """Place 3: typing goes on where the last key was evaluated."""
    ledger = filled(numbers(50), [9])
    assert placed(numbers(55), ledger, [1, 0]) == Place(0, 50, source=0)
    assert placed(numbers(55, at=30), ledger, [1, 0]) == Place(0, 30, source=0)


def test_a_source_that_would_lose_most_of_itself_is_copied_instead():
    """Place 4: the next prompt may be closer to it."""
    ledger = filled(numbers(100), [9], [8])
    assert placed(numbers(60, at=20), ledger, [2, 0, 1]) == Place(2, 20, source=0)
    assert placed(numbers(60, at=20), ledger, [0, 1]) == Place(1, 20, source=0)
    assert placed(numbers(60, at=20), ledger, [0]) == Place(0, 20, source=0)


def test_a_busy_source_is_always_copied():
    """Place 4: four requests about one file evaluate it once."""
    ledger = filled(numbers(50), [9])
    assert placed(numbers(55), ledger, [1], [0]) == Place(1, 50, source=0)
    assert placed(numbers(55), ledger, [1], [0], can_trim=False) == Place(1, 50, source=0)
    assert placed(numbers(50), ledger, [1], [0], can_trim=False) == Place(1)


def test_a_short_beginning_is_not_copied_out_of_a_long_sequence():
    """Place 4: all of the source goes through the copy."""
    long = numbers(10 * COPY_SHARE)
    assert placed(numbers(60, at=9), filled(long, [9]), [1], [0]) == Place(1)
    assert placed(numbers(60, at=10), filled(long, [9]), [1], [0]) == Place(1, 10, source=0)


def test_a_kept_prompt_comes_back_only_if_no_sequence_has_as_much():
    """Place 2."""
    ledger = filled(numbers(30), [9])
    kept = [[7, 7], numbers(40), numbers(20)]
    assert placed(numbers(60), ledger, [1, 0], (), kept) == Place(1, 40, kept=1)
    assert placed(numbers(60, at=25), ledger, [1, 0], (), kept) == Place(0, 25, source=0)


def test_a_window_that_scrolled_moves_what_it_still_shows():
    """Place 1 (ENGINE.md 14): the head of the window is cut, what follows is the same text elsewhere."""
    window = [1000, *range(200)]
    scrolled = [1000, *range(60, 200), 5000, 5001]
    ledger = filled(window, [9])
    moved = placed(scrolled, ledger, [1, 0], turn_tokens=0)
    assert moved == Place(0, 141, source=0, chunks=(Chunk(61, 140),))
    assert placed(scrolled, ledger, [1, 0], turn_tokens=None).chunks == ()
    assert placed(scrolled, ledger, [1, 0], turn_tokens=500).chunks == (), "the turn costs more"
    assert placed(scrolled, ledger, [1], [0], turn_tokens=0).chunks == (), "it is somebody's"


def test_short_chunks_are_accidents():
    held = [1000, *range(CHUNK_MIN_TOKENS)]
    assert moved_chunks(held, [1000, *range(2, CHUNK_MIN_TOKENS), 7, 8, 9], 1) == []


def test_a_chunk_is_found_at_whole_tokens_only():
    """Tokens are compared as bytes: a match that begins inside a token is none."""
    wanted = [1 << 8] * 40
    assert moved_chunks([1, *[1] * 60], [1, *wanted, 5], 1) == []


tokens = st.integers(0, 2)


@given(
    st.lists(tokens, min_size=1, max_size=160),
    st.lists(st.tuples(st.integers(0, 160), st.integers(0, 160)), max_size=4),
    st.lists(tokens, min_size=1, max_size=8),
)
def test_closing_the_gaps_before_chunks_gives_the_prompts_beginning(held, cuts, tail):
    """Whatever was cut out of what is held: dropping what lies between the chunks makes the prompt's beginning."""
    kept = held
    for a, b in cuts:
        kept = kept[: min(a, b)] + kept[max(a, b) :]
    prompt = [*kept, *tail]
    prefix = reusable(held, prompt, can_trim=True)
    left = held[:prefix]
    at = prefix
    for chunk in moved_chunks(held, prompt, prefix):
        assert chunk.start >= at
        assert chunk.length >= CHUNK_MIN_TOKENS
        left = left + held[chunk.start : chunk.start + chunk.length]
        at = chunk.start + chunk.length
    assert left == prompt[: len(left)]
    assert len(left) < len(prompt)
