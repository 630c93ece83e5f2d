"""A document after any edits is the text that the editor has."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol.types import Position

from lsp.document import Document, Encoding, Spot

TEXT = st.text(alphabet="ab \r\n\f\u2028é€\N{GRINNING FACE}", max_size=30)
CODECS = {Encoding.UTF8: "utf-8", Encoding.UTF16: "utf-16-le", Encoding.UTF32: "utf-32-le"}
UNIT = {Encoding.UTF8: 1, Encoding.UTF16: 2, Encoding.UTF32: 4}


def make(text, encoding=Encoding.UTF16):
    return Document(uri="u", language="l", version=1, text=text, encoding=encoding)


def positions(text, encoding):
    """Every place in a text with its position on the wire, by the protocol's words."""
    line, start, at = 0, 0, 0
    while at <= len(text):
        if not (text[at - 1 : at] == "\r" and text[at : at + 1] == "\n" and at):
            units = len(text[start:at].encode(CODECS[encoding])) // UNIT[encoding]
            yield at, Position(line, units)
        if at < len(text):
            ends = text[at] == "\n" or (text[at] == "\r" and text[at + 1 : at + 2] != "\n")
            if ends:
                line, start = line + 1, at + 1
        at += 1


@pytest.mark.slow
@pytest.mark.parametrize("encoding", list(Encoding))
@given(text=TEXT, insert=TEXT, data=st.data())
def test_an_edit_by_positions_is_an_edit_of_the_text(encoding, text, insert, data):
    document = make(text, encoding)
    for _ in range(3):
        places = list(positions(text, encoding))
        one, two = sorted(
            data.draw(st.tuples(*[st.integers(0, len(places) - 1)] * 2), label="places")
        )
        (begin, start), (end, stop) = places[one], places[two]
        document.change(start, stop, insert)
        text = text[:begin] + insert + text[end:]
        assert document.text() == text
        assert document.chars == len(text)
        assert document.line_count == make(text).line_count


@pytest.mark.parametrize("encoding", list(Encoding))
@given(text=TEXT)
def test_positions_lead_to_spots_and_back(encoding, text):
    document = make(text, encoding)
    for _, position in positions(text, encoding):
        spot = document.spot(position)
        assert (spot.line, document.units(spot)) == (position.line, position.character)


def test_positions_outside_are_moved_to_the_nearest_end():
    document = make("ab\ncd")
    assert document.spot(Position(0, 99)) == Spot(0, 2)
    assert document.spot(Position(99, 0)) == Spot(1, 2)
    document.change(Position(50, 0), Position(60, 9), "!")
    assert document.text() == "ab\ncd!"


def test_a_range_the_wrong_way_round_is_turned():
    document = make("abcd")
    document.change(Position(0, 3), Position(0, 1), "-")
    assert document.text() == "a-d"


def test_a_position_inside_a_character_is_before_it():
    assert make("a\N{GRINNING FACE}b").spot(Position(0, 2)) == Spot(0, 1)
    assert make("é", Encoding.UTF8).spot(Position(0, 1)) == Spot(0, 0)


def test_windows_are_whole_lines_that_have_room():
    document = make("aaaa\nbb\nc\nd\neeee\n")
    assert document.above(2, 5) == "bb\n"
    assert document.above(2, 8) == "aaaa\nbb\n"
    assert document.below(2, 6) == "d\n"


def test_a_long_window_begins_at_the_same_line_while_the_cursor_goes_down():
    document = make("line\n" * 1000)
    begins = {len(document.above(line, 1000)) - 5 * line for line in range(512, 544)}
    assert len(begins) == 2


def test_the_cost_of_a_key_in_a_large_document_is_measured(record_property):
    """For the eye (`pytest -rP`), not for judgement: a key at the end of a document of 1.2 MB."""
    document = make("x = call(argument, another)  # a comment\n" * 30_000)
    began = time.perf_counter()
    for column in range(100):
        document.change(Position(29_999, column), Position(29_999, column), "k")
    each_us = (time.perf_counter() - began) * 1e4
    record_property("key_us", each_us)
    print(f"a key in {document.chars:,} characters: {each_us:.0f} us")
