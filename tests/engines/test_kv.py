"""The ledger of the cache (ENGINE.md 5), and the seat that a prompt gets."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engines.kv import Ledger, Seat, best_prefix, seat, shared_prefix

SEQUENCES = 4
sequences = st.integers(0, SEQUENCES - 1)


class Cache(RuleBasedStateMachine):
    """A ledger beside a plain model of it: for each sequence a list of (cell, token)."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(SEQUENCES)
        self.held: list[list[tuple[int, int]]] = [[] for _ in range(SEQUENCES)]
        self.cells = 0

    @rule(sequence=sequences, tokens=st.lists(st.integers(0, 3), max_size=6))
    def append(self, sequence, tokens):
        self.ledger.append(sequence, tokens)
        for token in tokens:
            self.held[sequence].append((self.cells, token))
            self.cells += 1

    @rule(sequence=sequences, share=st.floats(0, 1))
    def truncate(self, sequence, share):
        length = int(share * len(self.held[sequence]))
        self.ledger.truncate(sequence, length)
        del self.held[sequence][length:]

    @rule(source=sequences, other=sequences, part=st.floats(0, 1))
    def share(self, source, other, part):
        if source == other:
            return
        length = int(part * len(self.held[source]))
        self.ledger.truncate(other, 0)
        self.ledger.share(source, other, length)
        self.held[other] = self.held[source][:length]

    @invariant()
    def every_cell_is_counted_once_for_each_owner(self):
        """Rules 1 and 2: no gaps; a cell is used while somebody owns it."""
        cells = [cell for held in self.held for cell, _ in held]
        assert self.ledger.used_cells == len(set(cells))
        for sequence, held in enumerate(self.held):
            assert list(self.ledger.tokens(sequence)) == [token for _, token in held]
            assert self.ledger.length(sequence) == len(held)
            owners = [self.ledger.owners(sequence, p) for p in range(len(held))]
            assert owners == [cells.count(cell) for cell, _ in held]
            assert self.ledger.freed_by(sequence) == owners.count(1)


TestLedger = pytest.mark.slow(Cache.TestCase)
TestLedger.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def filled(*held: list[int]) -> Ledger:
    ledger = Ledger(max(4, len(held)))
    for sequence, tokens in enumerate(held):
        ledger.append(sequence, tokens)
    return ledger


def numbers(length: int, at: int | None = None) -> list[int]:
    """0, 1, 2, ... with another token at one place."""
    return [-1 if n == at else n for n in range(length)]


def test_the_shared_prefix_is_found_wherever_the_lists_part():
    for length in (1, 2, 3, 7, 64, 100):
        for at in range(length):
            assert shared_prefix(numbers(length), numbers(length + 3, at)) == at
        assert shared_prefix(numbers(length), numbers(length + 5)) == length
    assert shared_prefix([], [1]) == 0


def test_a_prompt_never_reuses_all_of_itself():
    """Rule 4: the logits of its last token are needed."""
    ledger = filled(numbers(50))
    assert best_prefix(ledger, numbers(50), [0], can_trim=True) == (0, 49)
    assert best_prefix(ledger, numbers(30), [0], can_trim=True) == (0, 29)
    assert best_prefix(ledger, [0], [0], can_trim=True) == (-1, 0)


def test_what_cannot_be_trimmed_is_reused_only_as_a_whole():
    """Rule 5 (ENGINE.md 17)."""
    ledger = filled(numbers(50), numbers(20))
    assert best_prefix(ledger, numbers(40), [0, 1], can_trim=False) == (1, 20)
    assert best_prefix(ledger, numbers(60), [0, 1], can_trim=False) == (0, 50)
    assert best_prefix(ledger, numbers(20), [0, 1], can_trim=False) == (-1, 0)


def test_where_nothing_helps_the_oldest_idle_sequence_is_emptied():
    """Seat 1."""
    ledger = filled([9, 9], [8, 8])
    assert seat(ledger, numbers(10), [1, 0], [], can_trim=True) == Seat(1, 1, 0)


def test_a_prompt_goes_on_in_the_sequence_that_is_most_of_its_beginning():
    """Seat 2: typing goes on where the last key was evaluated."""
    ledger = filled(numbers(50), [9])
    assert seat(ledger, numbers(55), [1, 0], [], can_trim=True) == Seat(0, 0, 50)
    assert seat(ledger, numbers(55, at=30), [1, 0], [], can_trim=True) == Seat(0, 0, 30)


def test_a_source_that_would_lose_most_of_itself_is_shared_instead():
    """Seat 3: the next prompt may be closer to it."""
    ledger = filled(numbers(100), [9], [8])
    assert seat(ledger, numbers(60, at=20), [2, 0, 1], [], can_trim=True) == Seat(2, 0, 20)
    assert seat(ledger, numbers(60, at=20), [0, 1], [], can_trim=True) == Seat(1, 0, 20)
    assert seat(ledger, numbers(60, at=20), [0], [], can_trim=True) == Seat(0, 0, 20)


def test_a_busy_source_is_always_shared():
    """Seat 3: four requests about one file evaluate it once."""
    ledger = filled(numbers(50), [9])
    assert seat(ledger, numbers(55), [1], [0], can_trim=True) == Seat(1, 0, 50)
    assert seat(ledger, numbers(55), [1], [0], can_trim=False) == Seat(1, 1, 0)
