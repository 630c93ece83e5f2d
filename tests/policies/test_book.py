"""What the book keeps up to date is what looking through everybody would find."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.book import Book, Entry, Stage
from policies.messages import Outcome, Reason
from policies.request import Class, Kind, Place, Request

MOVES = st.lists(
    st.tuples(st.sampled_from(["add", "start", "stop", "end", "release"]), st.integers(0, 40)),
    max_size=60,
)


def request(number: int) -> Request:
    """Of three classes, two clients, two documents or none, and with a limit or without, by its number."""
    place = Place(f"d{number % 2}", number) if number % 3 else None
    limit_s = float(number % 5) if number % 4 else None
    klass = (Class.INTERACTIVE, Class.FOREGROUND, Class.SPECULATIVE)[number % 3]
    return Request(
        number, Kind.COMPLETE, klass, "m", 1, 1, f"c{number % 2}", place, expires_s=limit_s
    )


def move(book: Book, entries: list[Entry], what: str, pick: int) -> None:
    """Do it to one of those whom it can be done to, if there are any."""
    able = {
        "start": [e for e in entries if e.stage is Stage.QUEUED and not e.ended],
        "stop": [e for e in entries if e.stage is Stage.RUNNING],
        "end": [e for e in entries if not e.ended],
        "release": [e for e in book.crew("m") if e.ended or e.stage is Stage.STOPPING],
    }
    if what == "add":
        number, at_s = len(entries), float(len(entries) // 2)
        entries.append(Entry(request(number), at_s, (0.0, at_s, number)))
        book.add(entries[-1])
    elif some := able[what]:
        entry = some[pick % len(some)]
        if what == "start":
            book.start(entry)
        elif what == "stop":
            book.stop(entry)
        elif what == "end":
            book.end(entry, Outcome.DONE, Reason.COMPLETE)
        else:
            book.release(entry, 0.0)


@given(MOVES)
def test_what_is_kept_up_to_date_is_what_is_there(moves) -> None:
    """Counts by stage and class, the neighbours of a request, and who expires next, after any life."""
    book, entries = Book(["m"]), []
    for what, pick in moves:
        move(book, entries, what, pick)
        live = [entry for entry in entries if not entry.ended]
        for stage in Stage:
            told = book.count(stage)
            assert told == {
                k: sum(e.stage is stage and e.request.klass is k for e in live) for k in Class
            }
        limits = sorted((e.expires_at, e.request.id) for e in live if e.expires_at is not None)
        assert book.next_expiry() == (limits[0][0] if limits else None)
        assert [e.request.id for e in book.expired(8.0)] == [n for at, n in limits if at <= 8.0]
        for number in (1, 2):
            asked = request(number)
            assert book.beside(asked) == [
                e.request
                for e in live
                if e.request.place
                and e.request.client == asked.client
                and e.request.place.document == asked.place.document
            ]
