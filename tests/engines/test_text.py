"""What leaves the worker: whole characters, nothing of a stop string, no blank twice (ENGINE.md 4)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.text import TextStream


def feed(stream: TextStream, *pieces: bytes | str) -> list[str]:
    return [stream.push(p.encode() if isinstance(p, str) else p) for p in pieces]


def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Cut bytes anywhere, as tokens do."""
    at = sorted(draw(st.sets(st.integers(0, len(data)), max_size=12)) | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(at)]


def test_a_character_split_over_tokens_leaves_as_a_whole():
    """ENGINE.md 4: a consumer never sees half of a character."""
    snowman = "☃".encode()
    assert feed(TextStream(), snowman[:1], snowman[1:2], snowman[2:]) == ["", "", "☃"]


def test_a_character_that_the_limit_cuts_off_is_dropped():
    """ENGINE.md 4: the end of the tokens is no reason to send half a character either."""
    stream = TextStream()
    assert feed(stream, b"ab\xe2\x98") == ["ab"]
    assert stream.close() == ""


def test_bytes_that_are_no_text_are_replaced():
    assert feed(TextStream(), b"a\xffb") == ["a\ufffdb"]


def test_the_beginning_of_a_stop_string_is_held_back():
    """ENGINE.md 4: it goes out once it has turned out to be none."""
    stream = TextStream(["\n\n"])
    assert feed(stream, "a\n", "b\n") == ["a", "\nb"]
    assert stream.close() == "\n"


def test_a_stop_string_across_tokens_ends_the_text_before_it():
    stream = TextStream(["STOP"])
    assert feed(stream, "go S", "TO", "P on") == ["go ", "", ""]
    assert stream.stopped_by == "STOP"
    assert feed(stream, "more") == [""]
    assert stream.close() == ""


def test_of_several_stop_strings_the_first_in_the_text_wins():
    stream = TextStream(["cd", "bcde", "", "zz"])
    assert feed(stream, "abcde") == ["a"]
    assert stream.stopped_by == "bcde"


def test_a_stop_string_that_overlaps_itself():
    stream = TextStream(["aab"])
    assert feed(stream, "a", "a", "a", "b") == ["", "", "a", ""]
    assert stream.stopped_by == "aab"


def test_a_whole_stop_string_waits_for_a_longer_one_that_began_before_it():
    stream = TextStream(["a", "\naa"])
    assert feed(stream, "\n", "a", "a") == ["", "", ""]
    assert stream.stopped_by == "\naa"
    other = TextStream(["a", "\naa"])
    assert feed(other, "\n", "a", "b") == ["", "", "\n"]
    assert other.stopped_by == "a"
    ended = TextStream(["a", "\naa"])
    assert feed(ended, "\n", "a") == ["", ""]
    assert (ended.close(), ended.stopped_by) == ("\n", "a")


def test_healed_blanks_are_taken_off_whatever_the_model_writes_instead():
    """The blanks that were dropped from the prompt's end are in the editor already."""
    assert feed(TextStream(healed="    "), "    return") == ["return"]
    assert feed(TextStream(healed="    "), "  ", "  ", "  x") == ["", "", "  x"]
    assert feed(TextStream(healed="    "), "\tx") == ["x"]
    assert feed(TextStream(healed="    "), "  x") == ["x"]
    assert feed(TextStream(healed=" "), "\n    y") == ["\n    y"]


def test_an_answer_of_nothing_but_healed_blanks_is_empty():
    stream = TextStream(healed="    ")
    assert feed(stream, "  ") == [""]
    assert stream.close() == ""


TEXTS = st.text(st.sampled_from("ab\n ☃é"), max_size=30)
STOPS = st.lists(st.text(st.sampled_from("ab\n☃"), min_size=1, max_size=4), max_size=3)


@pytest.mark.slow
@given(st.data(), TEXTS, STOPS)
def test_the_cut_of_the_tokens_changes_nothing(data, text: str, stops: list[str]):
    """However the text is cut into tokens, what leaves is the text up to the first stop string."""
    stream = TextStream(stops)
    pieces = data.draw(st.composite(cuts)(text.encode()))
    out = "".join(feed(stream, *pieces)) + stream.close()
    first = min((text.find(stop) for stop in stops if stop in text), default=len(text))
    assert out == text[:first]
    assert (stream.stopped_by is not None) == any(stop in text for stop in stops)


@pytest.mark.slow
@given(st.data(), TEXTS, STOPS, st.sampled_from(["", " ", "    "]))
def test_a_replay_goes_on_exactly_where_the_first_worker_stopped(data, text, stops, healed):
    """ENGINE.md 19, 22: the second worker is given the tokens that were sent, and repeats and loses nothing."""
    pieces = data.draw(st.composite(cuts)((healed + text).encode()))
    whole, second = TextStream(stops, healed), TextStream(stops, healed)
    said = feed(whole, *pieces)
    died_at = data.draw(st.integers(0, len(pieces)))
    feed(second, *pieces[:died_at])
    assert feed(second, *pieces[died_at:]) == said[died_at:]
    assert second.close() == whole.close()
    assert second.stopped_by == whole.stopped_by
