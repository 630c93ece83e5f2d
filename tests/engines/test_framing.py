"""Texts for an embedding model: framed, never cut, and text whatever they look like."""

import pytest

from engines.engine import Chat, Fim, Message, Plain
from engines.engine import Embed as Text
from engines.framing import Framing
from engines.prompt import PromptError, TooLongError


class Words:
    """A token for each word between a beginning and an end; it remembers whether special tokens were parsed."""

    def tokenize(self, text: str, *, special: bool = False, framed: bool = False) -> list[int]:
        assert framed
        assert not special
        return [1, *(100 for _ in text.split()), 2]


def lay_out(text: str, context: int = 8) -> tuple[int, ...]:
    return Framing(Words(), context=context).lay_out(Text(text), 0).tokens


def test_a_text_is_framed_as_its_tokenizer_says():
    assert lay_out("one <s> two") == (1, 100, 100, 100, 2)


@pytest.mark.parametrize("prompt", [Plain("x"), Fim("x", "y"), Chat((Message("user", "x"),))])
def test_it_is_not_asked_to_write(prompt):
    with pytest.raises(PromptError, match="embedding model"):
        Framing(Words(), context=8).lay_out(prompt, 4)


def test_an_empty_text_has_no_vector():
    with pytest.raises(PromptError, match="empty"):
        lay_out("")


def test_a_text_that_is_too_long_is_told_in_numbers_and_never_cut():
    assert len(lay_out("a b c d e f")) == 8
    with pytest.raises(TooLongError, match="has 9 tokens; the model takes 8") as told:
        lay_out("a b c d e f g")
    assert told.value.prompt_tokens == 9


def test_what_surely_does_not_fit_is_not_even_tokenised():
    with pytest.raises(TooLongError, match="3000000 characters"):
        lay_out("a" * 3_000_000)
