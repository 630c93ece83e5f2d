"""From a job's prompt to tokens, with a vocabulary in which a token is a character."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.engine import Chat, Chunk, Fim, Message, Plain
from engines.prompt import (
    ANSWER_SHARE,
    NO_TOKEN,
    TOKEN_CHARS_MAX,
    FimTokens,
    Layouter,
    PromptError,
    TooLongError,
)

PRE, SUF, MID, REP, SEP, BOS, EOS = range(1000, 1007)


class Letters:
    """A token is the code of a character; `special` finds `<s>`."""

    def __init__(self, *, separator: int = SEP, fim: bool = True, adds_bos: bool = False) -> None:
        ids = (PRE, SUF, MID) if fim else (NO_TOKEN,) * 3
        self.fim = FimTokens(*ids, repository=REP, separator=separator)
        self.adds_bos, self.bos, self.eos = adds_bos, BOS, EOS
        self.longest = 0

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        self.longest = max(self.longest, len(text))
        if special and text.startswith("<s>"):
            return [BOS, *map(ord, text[3:])]
        return [ord(char) for char in text]

    def written(self, token: int) -> str:
        return {BOS: "<s>", EOS: "</s>"}.get(token, "")


def codes(text: str) -> list[int]:
    return [ord(char) for char in text]


def lay_out(prompt, tokens_max: int = 8, context: int = 256, **given: object):
    vocabulary = given.pop("vocabulary", None) or Letters()
    return Layouter(vocabulary, context=context, **given).lay_out(prompt, tokens_max)


def test_prefix_suffix_middle_is_the_order_where_the_file_says_nothing():
    layout = lay_out(Fim("ab ", "cd"))
    assert list(layout.tokens) == [PRE, *codes("ab "), SUF, *codes("cd"), MID]
    assert layout.healed == ""


def test_the_order_of_the_embedded_model_glues_the_middle_to_the_prefix():
    """Blanks at the prefix's end are dropped and taken off the answer: never prompt right after a blank."""
    layout = lay_out(Fim("ab\n  \t", "cd"), fim_order="spm-glued")
    assert list(layout.tokens) == [PRE, SUF, *codes("cd"), MID, *codes("ab\n")]
    assert layout.healed == "  \t"


def test_suffix_prefix_middle():
    layout = lay_out(Fim("ab", "cd"), fim_order="spm", vocabulary=Letters(adds_bos=True))
    assert list(layout.tokens) == [BOS, SUF, *codes("cd"), PRE, *codes("ab"), MID]


def test_other_files_come_first_as_the_model_was_trained_to_see_them():
    layout = lay_out(Fim("ab", "cd", chunks=(Chunk("x=1", "a.py"), Chunk("y=2"))))
    assert list(layout.tokens) == [
        *(REP, *codes("workspace\n")),
        *(SEP, *codes("a.py\nx=1\n")),
        *(SEP, *codes("tmp\ny=2\n")),
        *(SEP, *codes("filename\n")),
        *(PRE, *codes("ab"), SUF, *codes("cd"), MID),
    ]


def test_without_a_separator_token_chunks_are_plain_text():
    layout = lay_out(Fim("ab", "cd", (Chunk("x=1"),)), vocabulary=Letters(separator=NO_TOKEN))
    head = codes("\n\n--- snippet ---\n\nx=1\n")
    assert list(layout.tokens) == [*head, PRE, *codes("ab"), SUF, *codes("cd"), MID]


def test_of_too_many_chunks_the_last_are_kept():
    chunks = tuple(Chunk(f"chunk {n} " * 4, "f") for n in range(20))
    tokens = list(lay_out(Fim("ab", "cd", chunks)).tokens)
    text = "".join(chr(token) for token in tokens if token < 1000)
    assert "chunk 19" in text
    assert "chunk 0 " not in text
    assert len(tokens) <= 256 - 8


def test_special_tokens_in_a_document_are_text():
    """Only a raw prompt may name them, and only if it says so."""
    assert lay_out(Fim("<s>", "<s>")).tokens.count(BOS) == 0
    assert lay_out(Plain("<s>x")).tokens == (BOS, ord("x"))
    assert lay_out(Plain("<s>x", special=False)).tokens == tuple(codes("<s>x"))


def test_the_head_of_a_cut_window_stands_still_while_one_types():
    """It moves in steps of a quarter: a head that moved with every key would make every cached prefix useless."""
    text = "".join(chr(33 + n % 90) for n in range(2000))
    heads = [lay_out(Fim(text[:size], "s" * 40)).tokens[1:9] for size in range(1000, 1200)]
    moves = sum(a != b for a, b in itertools.pairwise(heads))
    assert 1 <= moves <= 200 // 45 + 1
    sizes = [len(lay_out(Fim(text[:size], "s" * 40)).tokens) for size in range(1000, 1200)]
    assert min(sizes) >= 248 * 3 // 4 - 8
    assert max(sizes) <= 248


@pytest.mark.slow
@given(
    st.integers(0, 5000), st.integers(0, 3000), st.integers(40, 400), st.integers(0, 20),
    st.lists(st.integers(0, 300), max_size=4), st.sampled_from(["psm", "spm", "spm-glued"]),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_a_layout_and_its_answer_always_fit_the_context(
    prefix, suffix, context, tokens_max, chunks, order, bos, marked
):
    """What is laid out can run (ENGINE.md 6): no prompt is let in that could never be admitted."""
    vocabulary = Letters(adds_bos=bos, separator=SEP if marked else NO_TOKEN)
    fim = Fim("p" * prefix, "s" * suffix, tuple(Chunk("c" * n, "f.py") for n in chunks))
    layout = lay_out(fim, tokens_max, context, fim_order=order, vocabulary=vocabulary)
    assert len(layout.tokens) + min(tokens_max, context // ANSWER_SHARE) <= context
    assert layout.tokens.count(SUF) == layout.tokens.count(MID) == 1


def test_a_prompt_exactly_at_the_limit_is_let_in_and_one_more_is_not():
    assert len(lay_out(Plain("x" * 248)).tokens) == 248
    with pytest.raises(TooLongError, match="249 tokens; the context is 256"):
        lay_out(Plain("x" * 249))
    with pytest.raises(TooLongError):
        lay_out(Plain("x" * 248), vocabulary=Letters(adds_bos=True))


def test_an_answer_gets_what_is_left_and_at_least_a_share():
    """A client that asks for 4,096 tokens of a context of 256 means: until you are done."""
    layouter = Layouter(Letters(), context=256)
    short = layouter.lay_out(Plain("x" * 100), 10**9)
    assert layouter.answer_tokens(short, 10**9) == 156
    assert layouter.answer_tokens(short, 8) == 8
    with pytest.raises(TooLongError) as raised:
        layouter.lay_out(Plain("x" * 193), 10**9)
    assert raised.value.prompt_tokens == 193


def test_a_context_without_room_is_too_long_not_an_error_of_ours():
    with pytest.raises(TooLongError):
        lay_out(Fim("a", "b"), tokens_max=8, context=16)


def test_what_surely_does_not_fit_is_not_tokenised():
    """Tokenising megabytes would hold up everybody's intake."""
    vocabulary = Letters()
    with pytest.raises(TooLongError, match="characters"):
        lay_out(Plain("x" * (256 * TOKEN_CHARS_MAX + 1)), vocabulary=vocabulary)
    lay_out(Fim("p" * 10**6, "s" * 10**6, (Chunk("c" * 10**6),)), vocabulary=vocabulary)
    assert vocabulary.longest <= 256 * 16


def test_what_the_model_lacks_is_said():
    with pytest.raises(PromptError, match="Infill is not supported by this model"):
        lay_out(Fim("a", "b"), vocabulary=Letters(fim=False))
    with pytest.raises(PromptError, match="no chat template"):
        lay_out(Chat((Message("user", "x"),)))
    with pytest.raises(PromptError, match="empty"):
        lay_out(Plain(""))
    assert lay_out(Plain(""), vocabulary=Letters(adds_bos=True)).tokens == (BOS,)


def test_a_conversation_begins_with_one_bos_whoever_writes_it():
    talk = Chat((Message("user", "hi"),))
    for template in ("{{ bos_token }}{{ messages[0].content }}", "{{ messages[0].content }}"):
        layout = lay_out(talk, template=template, vocabulary=Letters(adds_bos=True))
        assert list(layout.tokens) == [BOS, *codes("hi")]


def test_a_template_that_fails_is_the_requests_end_in_words():
    with pytest.raises(PromptError, match="chat template refused: ZeroDivisionError"):
        lay_out(Chat((Message("user", "x"),)), template="{{ 1 / 0 }}")
