"""What goes into the next batch: lists in, lists out."""

from hypothesis import given
from hypothesis import strategies as st

from policies.step import Row, Share, plan


def decoding(number: int, **given: object) -> Row:
    return Row(number, 1, prefilling=False, **given)


def prompt(number: int, tokens: int, urgency: float = 0.0, **given: object) -> Row:
    return Row(number, tokens, prefilling=True, urgency=urgency, **given)


def test_nothing_to_do_is_an_empty_step():
    assert plan([], budget_tokens=128) == []


def test_every_stream_goes_on_beside_a_long_prompt():
    """Rule 2: a stream never waits for somebody's prompt; the prompt gets what is left."""
    rows = [prompt(1, 500, 9.0), decoding(2), decoding(3)]
    assert plan(rows, budget_tokens=128) == [Share(2, 1), Share(3, 1), Share(1, 126)]


def test_the_most_urgent_prompt_is_first_and_ties_go_by_number():
    """Rule 3."""
    rows = [prompt(3, 50), prompt(1, 50), prompt(2, 50, urgency=1.0)]
    assert plan(rows, budget_tokens=120) == [Share(2, 50), Share(1, 50), Share(3, 20)]


def test_who_must_run_alone_shares_its_step_with_nobody():
    """Rule 1 (ENGINE.md 22): of two such, the first is taken."""
    rows = [decoding(1), prompt(2, 10, alone=True), decoding(3, alone=True)]
    assert plan(rows, budget_tokens=128) == [Share(2, 10)]
    assert plan([decoding(1), decoding(3, alone=True)], budget_tokens=128) == [Share(3, 1)]


ROWS = st.lists(
    st.builds(
        Row,
        id=st.integers(1, 20),
        waiting_tokens=st.integers(1, 300),
        prefilling=st.just(True),
        urgency=st.sampled_from([0.0, 1.0, 2.0]),
    )
    | st.builds(Row, id=st.integers(1, 20), waiting_tokens=st.just(1), prefilling=st.just(False)),
    unique_by=lambda row: row.id,
    max_size=10,
)


@given(ROWS, st.integers(16, 256))
def test_a_step_is_never_over_its_budget_nor_wasted(rows: list[Row], budget: int):
    shares = plan(rows, budget_tokens=budget)
    waiting = {row.id: row.waiting_tokens for row in rows}
    assert all(1 <= share.tokens <= waiting[share.id] for share in shares)
    assert len({share.id for share in shares}) == len(shares)
    assert sum(share.tokens for share in shares) == min(budget, sum(waiting.values()))
    assert {row.id for row in rows if not row.prefilling} <= {share.id for share in shares}
