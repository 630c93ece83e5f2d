"""Texts as tokens of their own, none of them special; and their first lines."""

from hypothesis import given
from hypothesis import strategies as st

from engines.literal import Literal, first_lines

OPEN, SHUT = 1000, 1001
WRITTEN = {OPEN: "<[", SHUT: "]>"}


def leaky(text: str) -> list[int]:
    """A token a character, but for the special ones, which are found in any text."""
    for number, written in WRITTEN.items():
        if written in text:
            before, _, after = text.partition(written)
            return [*leaky(before), number, *leaky(after)]
    return [ord(char) for char in text]


@given(st.text("<[]>a", max_size=40))
def test_no_special_token_comes_out_of_a_text_and_no_character_is_lost(text):
    """However they lie beside one another."""
    tokens = Literal(leaky, WRITTEN).tokens(text)
    assert "".join(map(chr, tokens)) == text


def test_a_text_without_them_is_tokenised_once():
    asked = []
    Literal(lambda text: asked.append(text) or leaky(text), WRITTEN).tokens("a < b > [c]")
    assert asked == ["a < b > [c]"]


@given(st.lists(st.text("ab", max_size=9), max_size=9), st.integers(0, 60))
def test_whole_lines_fit_under_their_heading_or_there_are_none(lines, tokens_max):
    text = "".join(f"{line}\n" for line in lines)
    tokens = Literal(leaky, WRITTEN).whole_lines("name\n", text, tokens_max)
    said = "".join(map(chr, tokens))
    assert len(tokens) <= tokens_max
    assert not said or (said.endswith("\n") and ("name\n" + text).startswith(said))
    assert said != "name\n"
    if len("name\n" + text) <= tokens_max and text:
        assert said == "name\n" + text


@given(st.text("ab\n", max_size=60), st.integers(-5, 70))
def test_first_lines_are_whole_and_fit(text, chars_max):
    cut = first_lines(text, chars_max)
    assert text.startswith(cut)
    assert len(cut) <= max(chars_max, 0)
    assert cut in ("", text) or cut.endswith("\n")
    assert cut == text or len(text) > chars_max
