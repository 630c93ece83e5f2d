"""A ticket: its pieces for one reader, its one end, and what the end says."""

from __future__ import annotations

import pytest

from daemon.tickets import Desk, Piece, Ticket
from engines.engine import Emitted, Likely, Score, Stopped, StopType, Timings
from policies.messages import Outcome, Reason

SCORE = Score(Likely(7, b"a", -0.5))


def a_ticket(withdrawn: list[Reason] | None = None) -> Ticket:
    heard = [] if withdrawn is None else withdrawn
    return Ticket(1, "tiny", 10.0, lambda _, reason: heard.append(reason))


def emitted(text: str, token: int = 7, scores: tuple[Score, ...] = ()) -> Emitted:
    return Emitted(1, (token,), text, -0.5, scores)


def close(ticket: Ticket) -> None:
    ticket.close(Outcome.DONE, Reason.COMPLETE, 13.0)


def test_a_reader_hears_of_everything_once_and_in_order() -> None:
    """What came before it began to follow, what comes after, what was held back, and None at the end."""
    ticket = a_ticket()
    heard: list[Piece | None] = []
    ticket.feed(emitted("early", scores=(SCORE,)), 11.0)
    ticket.follow(heard.append)
    assert heard == [Piece("early", (7,), -0.5, (SCORE,))]
    ticket.feed(emitted("late", token=8), 12.0)
    ticket.finish(Stopped(1, "done", StopType("eos"), text="last"))
    close(ticket)
    assert heard[1:] == [Piece("late", (8,), -0.5), Piece("last"), None]


def test_who_follows_after_the_end_hears_of_it_too() -> None:
    """A refusal may be faster than the reader."""
    ticket = a_ticket()
    close(ticket)
    heard: list[Piece | None] = []
    ticket.follow(heard.append)
    assert heard == [None]


def test_nothing_is_heard_behind_the_end() -> None:
    """The engine may say more about a request whose caller was answered already."""
    ticket = a_ticket()
    heard: list[Piece | None] = []
    ticket.follow(heard.append)
    close(ticket)
    ticket.feed(emitted("more"), 12.0)
    ticket.finish(Stopped(1, "done", text="more"))
    assert heard == [None]


def test_the_result_adds_up_what_the_pieces_said() -> None:
    """Texts, tokens, log-probabilities, scores, and times from the ticket's opening."""
    ticket = a_ticket()
    ticket.feed(emitted("a", scores=(SCORE,)), 11.0)
    ticket.feed(emitted("b", token=8, scores=(SCORE,)), 12.0)
    ticket.finish(Stopped(1, "done", StopType("limit"), timings=Timings(prompt_tokens=3)))
    result = ticket.close(Outcome.DONE, Reason.COMPLETE, 13.0)
    assert (result.text, result.tokens, result.logprob) == ("ab", (7, 8), -1.0)
    assert result.scores == (SCORE, SCORE)
    assert (result.first_token_s, result.whole_s) == (1.0, 3.0)
    assert (result.stop, result.timings.prompt_tokens) == (StopType("limit"), 3)


def test_a_second_end_is_a_bug() -> None:
    """The promise is kept in one place, loudly."""
    ticket = a_ticket()
    close(ticket)
    with pytest.raises(AssertionError, match="ended twice"):
        close(ticket)


def test_only_an_open_ticket_is_withdrawn() -> None:
    """Cancelling what has ended is harmless."""
    withdrawn: list[Reason] = []
    ticket = a_ticket(withdrawn)
    ticket.cancel(Reason.STALE)
    assert withdrawn == [Reason.STALE]
    close(ticket)
    ticket.cancel()
    assert withdrawn == [Reason.STALE]


def test_the_desk_forgets_what_has_ended() -> None:
    """Numbers grow and are never used twice."""
    desk = Desk()
    assert (desk.take_number(), desk.take_number()) == (1, 2)
    ticket = desk.add(a_ticket())
    assert desk.find(1) is ticket
    desk.close(1, Outcome.DONE, Reason.COMPLETE, 13.0)
    assert desk.find(1) is None
    assert len(desk) == 0
