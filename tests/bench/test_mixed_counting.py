"""The figures of a mix of work, from data made by hand. No server, no clock."""

import math

import pytest

from tests.bench.mixed_counting import Exchange, Figures, Window, background_due, count, pool
from tests.bench.mixed_peer import Level, tables


def whole(
    sent_s: float, events_s: list[float], *, tokens: int, prompt: int, prompt_s: float = 1.0
) -> Exchange:
    """An answer that came to its end, at its last event."""
    return Exchange(
        tokens_asked=tokens,
        sent_s=sent_s,
        events_s=events_s,
        ended_s=events_s[-1],
        prompt_tokens=prompt,
        evaluated_tokens=prompt,
        prompt_s=prompt_s,
        output_tokens=tokens,
    )


def window(background: list[Exchange], completions: list[Exchange]) -> Window:
    """Ten seconds that begin at 100; all was cut five seconds later."""
    return Window(100.0, 110.0, 115.0, background, completions)


def figures(**changes: object) -> Figures:
    """Ten seconds in which ten completions took 100 ms to their first token and 200 to their end."""
    given = {
        "seconds": 10.0,
        "first_ms": (100.0,) * 10,
        "whole_ms": (200.0,) * 10,
        "served": 10,
        "unanswered": 0,
        "prompt_rate": 60.0,
        "output_rate": 40.0,
        "background_rate": 80.0,
        "evaluated_share": 1.0,
        "errors": (),
    }
    return Figures(**given | changes)


def test_a_prompt_counts_while_it_is_evaluated() -> None:
    """Rule 2: what was evaluated before the window or behind it is not of it; tokens count when they come."""
    inside = whole(101, [103.0, 104.0, 105.0, 106.0], tokens=4, prompt=30)
    across = whole(95, [101.0, 102.0, 103.0, 112.0], tokens=4, prompt=30, prompt_s=4)
    before = whole(95, [98.0, 99.0, 100.0, 101.0], tokens=4, prompt=30)
    behind = whole(109, [112.0], tokens=1, prompt=30, prompt_s=2.5)
    done = count(window([inside, across, before, behind], []))
    assert done.output_rate == pytest.approx((4 + 3 + 2) / 10)
    assert done.prompt_rate == pytest.approx((30 + 30 / 4 + 30 * 0.5 / 2.5) / 10)
    assert done.background_rate == pytest.approx(done.useful_rate)


def test_one_that_was_cut_counts_what_came() -> None:
    """Rule 2: its prompt is what the whole ones had on average, and took as long; without a token it is nothing."""
    known = whole(101, [103.0, 104.0], tokens=2, prompt=40, prompt_s=2)
    begun = Exchange(tokens_asked=10, sent_s=104, events_s=[107.0, 108.0, 109.0, 111.0])
    late = Exchange(tokens_asked=10, sent_s=104, events_s=[111.0])
    silent = Exchange(tokens_asked=10, sent_s=105)
    done = count(window([known, begun, late, silent], []))
    assert done.output_rate == pytest.approx((2 + 3) / 10)
    assert done.prompt_rate == pytest.approx((40 + 40 + 40 / 2) / 10)


def test_an_event_may_be_more_than_one_token() -> None:
    """Rule 1: four tokens in two events are two each, in answers that were cut as well."""
    known = whole(101, [102.0, 103.0], tokens=4, prompt=8)
    begun = Exchange(tokens_asked=4, sent_s=104, events_s=[107.0])
    assert count(window([known, begun], [])).output_rate == pytest.approx((4 + 2) / 10)


def test_a_completion_without_an_answer_is_as_late_as_it_waited() -> None:
    """Rule 3, and only what was whole within the window was served."""
    quick = whole(101, [101.5, 102.0], tokens=2, prompt=10)
    after = whole(109, [109.5, 112.0], tokens=2, prompt=10)
    never = Exchange(tokens_asked=2, sent_s=108)
    done = count(window([], [quick, after, never]))
    assert done.first_ms == pytest.approx((500, 500, 7000))
    assert done.whole_ms == pytest.approx((1000, 3000))
    assert (done.served, done.unanswered) == (1, 1)


def test_a_refused_request_is_an_error_and_no_time() -> None:
    """What never was answered because it was refused must not look quick."""
    done = count(window([], [Exchange(tokens_asked=2, sent_s=101, error="429")]))
    assert done.errors == ("429",)
    assert done.first_ms == ()
    assert done.first_percentile_ms(0.5) == math.inf


def test_a_prompt_that_came_back_counts_as_it_was_evaluated_first() -> None:
    """Rule 2: `timings` tell of the last start only, so the time is that of the others."""
    known = whole(100, [103.0, 104.0], tokens=2, prompt=40, prompt_s=2)
    back = whole(95, [101.0, 108.0], tokens=2, prompt=40, prompt_s=0.01)
    back.evaluated_tokens = 1
    done = count(window([known, back], []))
    assert done.evaluated_share == pytest.approx(41 / 80)
    assert done.prompt_rate == pytest.approx((40 + 40 / 2) / 10)


def test_without_any_whole_answer_only_tokens_count() -> None:
    """Nobody knows how long the prompts are."""
    begun = Exchange(tokens_asked=10, sent_s=104, events_s=[107.0, 108.0])
    done = count(window([begun], []))
    assert (done.prompt_rate, done.output_rate) == pytest.approx((0, 0.2))


def test_pauses_are_between_events() -> None:
    """Three events have two pauses, in milliseconds."""
    exchange = Exchange(tokens_asked=3, sent_s=1, events_s=[2.0, 2.5, 4.0])
    assert exchange.gaps_ms == pytest.approx([500, 1500])
    assert exchange.first_s == pytest.approx(1)


def test_pooled_measurements_keep_all_times_and_average_rates() -> None:
    """Two windows of ten seconds are twenty, and their rates are not added."""
    both = pool([figures(), figures(prompt_rate=80.0, first_ms=(300.0,), errors=("x",))])
    assert both.seconds == pytest.approx(20)
    assert both.useful_rate == pytest.approx((100 + 120) / 2)
    assert len(both.first_ms) == 11
    assert both.first_percentile_ms(1) == pytest.approx(300)
    assert both.served == 20
    assert both.errors == ("x",)


def test_further_completions_are_taken_off_what_background_is_due() -> None:
    """Ten more completions of 200 ms in ten seconds are a fifth of them; fewer than theirs give nothing."""
    few = figures(served=0)
    assert background_due(figures(), few, figures()) == pytest.approx(80 * 0.8)
    assert background_due(few, figures(), figures()) == pytest.approx(80)


def test_tables_show_the_aims_where_there_is_background() -> None:
    """p95 over the idle median, useful tokens and background, each met or missed, and errors in words."""
    idle = Level(0, [figures()], [figures()])
    slow = figures(first_ms=(140.0,) * 10, prompt_rate=56.0, background_rate=60.0, errors=("429",))
    text = "\n".join(tables([idle, Level(6, [slow], [figures(served=5)])]))
    assert text.count("AIM") == 3
    assert "1.400 <= 1.3   MISSED" in text
    assert "0.960 >= 0.95  met" in text
    assert "background / 72.0 due" in text
    assert "0.833 >= 0.9   MISSED" in text
    assert "ERROR of hearth: 429" in text
