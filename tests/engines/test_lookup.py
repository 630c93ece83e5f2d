"""The instant tier: what it proposes, what it declines, and that no text upsets it."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.lookup import SHOWN_ABOVE, WEIGHTS, Found, considered, look_up

REPEATED = """\
import shelf

def load(shop, path):
    shop.logger.info("loading %s", path)
    return shelf.read(path, encoding=shop.encoding)


def save(shop, path):
    shop.logger.info("saving %s", path)
    shelf.write(path, encoding=shop.encoding)
    shop.logger.info("saved %s", path)


def drop(shop, path):
    shop.logger.info("dropping %s", path)
    shelf.write(path, enco"""


def found(prefix: str, suffix: str = "\n", **options: list[str]) -> Found:
    answer = look_up(prefix, suffix, **options)
    assert answer is not None
    return answer


def test_what_followed_the_same_text_is_proposed():
    """The end of the prefix stands earlier in the file: the rest of that line is the answer."""
    answer = found(REPEATED)
    assert (answer.text, answer.source) == ("ding=shop.encoding)", "file")
    assert answer.matched_chars >= len("shelf.write(path, enco")
    assert answer.confidence > SHOWN_ABOVE


def test_the_part_below_the_cursor_counts_too():
    """Code is not written from top to bottom."""
    assert found("x = 1\nprint(gre", "\n\nprint(greeting, name)\n").text == "eting, name)"


def test_places_that_agree_outvote_a_nearer_one():
    """Three lines say one thing, one says another."""
    file = 3 * "rows = fetch(cursor, limit=10)\n" + "rows = fetch(cursor, offset)\n"
    assert found(file + "rows = fetch(cursor, ").text == "limit=10)"


def test_agreement_makes_surer():
    """More of the same, more confidence."""
    once = "total = add(left, right)\n"
    sure = found(4 * once + "total = ad").confidence
    assert sure > found(once + "tonal = add(up, down)\ntotal = ad").confidence


def test_the_lines_after_the_cursor_decide_between_two():
    """What follows the cursor is how one of the two places goes on."""
    read = "with shelf.open(first) as book:\n    book.read_all_pages()\n\n"
    count = "with shelf.open(second) as book:\n    book.count_the_pages()\n\n"
    prefix, suffix = f"{read}{count}\npause()\n\nwith shelf.open(", "\n    book.{}()\n\n"
    assert found(prefix, suffix.format("read_all_pages")).text == "first) as book:"
    assert found(prefix, suffix.format("count_the_pages")).text == "second) as book:"


def test_what_stands_after_the_cursor_is_not_written_twice():
    """An editor has closed the bracket already."""
    assert found("send(message, retries)\nsend(mess", ")\n").text == "age, retries"


def test_a_line_that_ends_differently_is_no_answer():
    """The rest of the cursor's line must fit the rest of the line that matched."""
    assert look_up("send(message, retries)\nsend(mess", ") + 1\n") is None


def test_the_line_below_is_not_proposed_with_confidence():
    """The line that would appear twice in a row already follows the cursor."""
    line = "        self.assertEqual(first, second)"
    answer = look_up(f"{line}\n\n        self.ass", f"\n{line}\n")
    assert answer is None or answer.confidence < SHOWN_ABOVE


def test_brackets_that_were_never_opened_cost_confidence():
    """`)` fits after `call(`, not after `value = `."""
    file = "use(value = first)\nuse(value = first)\npause()\n"
    assert found(f"{file}use(value = ").confidence > 2 * found(f"{file}value = ").confidence


def test_other_open_files_are_asked_when_this_one_says_nothing():
    """The in-file answer comes first; the others help where it is weak."""
    other = "class Shelf:\n    def unpack(self, parcel, carefully):\n        return parcel.open()\n"
    prefix = "class Box:\n    def unpack(self, par"
    assert found(prefix, others=[other]).text == "cel, carefully):"
    assert found(prefix, others=[other]).source == "open file"
    assert found(REPEATED, others=[other]).source == "file"


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [
        ("", ""),
        ("", "x = 1\n"),
        ("    ", "x = 1\n"),
        ("\n\n  \t\n", "\n"),
        ("unlike anything\n", ""),
        ("x", "y"),
    ],
)
def test_nothing_to_go_by_is_nothing_found(prefix: str, suffix: str):
    """An empty, blank or unheard-of prefix has no answer."""
    assert look_up(prefix, suffix) is None


def test_the_cursors_own_line_is_no_model_for_itself():
    """A repetition within the line would only repeat itself."""
    assert look_up("value = value = val", "") is None


def test_carriage_returns_are_not_part_of_the_answer():
    """Files of Windows end their lines with two characters."""
    assert found("send(message, retries)\r\nsend(mess", "\r\n").text == "age, retries)"


def test_characters_beyond_the_basic_plane_are_characters():
    """One emoji is one character, on either side of the match."""
    assert found("say('🦉 hoots', 🌲)\nsay('🦉 ho").text == "ots', 🌲)"


def test_a_megabyte_is_looked_at_within_the_window():
    """Only what is near the cursor counts, so that the time does not grow with the file."""
    far = "rarely_seen_name = compute(everything)\n"
    padding = "x = 1\n" * 200_000
    answer = look_up(f"{far}{padding}rarely_seen_na", "")
    assert answer is None or "compute" not in answer.text
    started = time.process_time()
    look_up(f"{padding}rarely_se", padding, others=[padding] * 20)
    assert time.process_time() - started < 0.25


def test_twenty_kilobytes_take_about_a_millisecond():
    """The bound here is generous: a loaded machine must not fail the build."""
    words = random.Random(3)
    lines = [
        f"    item_{words.randrange(99)} = call_{words.randrange(9)}(self.x, {n})\n"
        for n in range(600)
    ]
    prefix, suffix = "".join(lines[:400]) + "    item_7 = ", "\n" + "".join(lines[400:])
    started = time.process_time()
    for _ in range(20):
        look_up(prefix, suffix)
    assert (time.process_time() - started) / 20 < 0.02


@settings(max_examples=200, deadline=None)
@given(
    st.text("ab(){}[]'\" \n\r\tü🦉._=", max_size=300),
    st.text("ab(){}[]'\" \n\r\tü🦉._=", max_size=300),
    st.lists(st.text("ab( )\n🦉", max_size=100), max_size=3),
)
def test_any_text_gets_an_honest_answer(prefix: str, suffix: str, others: list[str]):
    """Whatever the text: one line, a probability, and the same again when asked again."""
    answer = look_up(prefix, suffix, others=others)
    if answer is None:
        return
    assert answer.text.strip()
    assert "\n" not in answer.text
    assert 0 < answer.confidence < 1
    assert answer.matched_chars >= 1
    assert look_up(prefix, suffix, others=others) == answer


def test_the_estimate_uses_each_weight():
    """The features and the fitted constants have the same names."""
    for _, features in considered(REPEATED, "\n"):
        assert features.keys() == WEIGHTS.keys()


def test_more_lines_that_agree_are_believed_more():
    """All else being equal, an answer is surer where the lines above agree too."""
    lines = ["first = step(one)\n", "second = walk(two, three)\n", "third = leap(four, five)\n"]
    rest = "pause(6)\n"
    sure = [
        found("".join([*lines, rest, *lines[2 - n : 2], "third = le"])).confidence for n in range(3)
    ]
    assert sure == sorted(sure)


def test_a_line_alike_is_a_pattern_for_this_one():
    """`self.b = b` says how `self.a = ` goes on."""
    head = "def __init__(self, width, height, depth):\n    self.width = width\n"
    assert found(f"{head}    self.height = height\n    self.depth = ").text == "depth"
    assert found(f"{head}    self.height = ").text == "height"


def test_a_word_that_may_go_on_is_not_another_name():
    """Under the cursor `wid` is the beginning of `width`, not a name like it."""
    answer = look_up("area(width, 1)\narea(wid", "\n")
    assert (answer.text if answer else "") == "th, 1)"
