"""The embedded model and its gate: what the file says of itself, sensible answers, and never noise."""

from __future__ import annotations

import itertools
import math

import pytest

from engines import llama
from engines.embedded import MODEL_PATH
from engines.embedded.fits import fits
from engines.embedded.gate import (
    SHOWN_ABOVE,
    Drafted,
    best_of,
    choose,
    keep_fitting,
    model_log_odds,
)
from engines.gguf import read_header
from engines.lookup import Found

BYTES_MAX = 12_000_000
TOKENS_MAX = 16

SURE = Drafted("name", -0.1, -0.05, 2)
LOST = Drafted("lambda x: x", -12.0, -2.4, 5)
SEEN = Found("name", 30, 0.8, "file")
GUESS = Found("other", 3, 0.1, "file")

EASY = [
    ("class Person:\n    def __init__(self, name, age):\n        self.name =", "\n", "name"),
    ("def read_text(path):\n    with open(path) as", ":\n        return f.read()\n", "f"),
    ("try:\n    import shelf\nexcept", "\n    shelf = None\n", "ImportError:"),
    ("if __name__ ==", "\n    main()\n", '"__main__":'),
    (
        "def main():\n    parser = argparse.",
        "\n    args = parser.parse_args()\n",
        "ArgumentParser(",
    ),
    ("def push(self, item):\n        self.items.", "\n", "append(item)"),
    ("    if not isinstance(value, str):\n        raise", "\n    return value\n", "TypeError("),
    ("def add(left, right):\n    return left +", "\n", "right"),
    ("for index, name in", "\n    print(index, name)\n", "enumerate("),
    (
        "def __init__(self, height, width):\n        self.height = height\n        self.width =",
        "\n",
        "width",
    ),
    ("while True:\n    line = handle.readline()\n    if not", "\n        break\n", "line"),
]
"""Prefix, suffix, and what the answer begins with: written for this test."""


@pytest.fixture(scope="module")
def model() -> llama.Model:
    llama.start()
    return llama.Model(str(MODEL_PATH), gpu_layers=0, extra_buffers=False)


@pytest.fixture(scope="module")
def context(model: llama.Model) -> llama.Context:
    return llama.Context(
        model, cells=256, batch=256, sub_batch=256, sequences=1, kv_type="f16", threads=1
    )


def answer(model: llama.Model, context: llama.Context, prefix: str, suffix: str) -> str:
    """The greedy answer up to the end of the line."""
    context.remove(0, 0)
    fim, written = model.fim, b""
    tokens = [fim.prefix, fim.suffix, *model.tokenize(suffix), fim.middle, *model.tokenize(prefix)]
    position = 0
    for _ in range(TOKENS_MAX):
        feed = llama.Feed(0, position, tokens, wants_logits=True)
        assert context.decode([feed]) == llama.DECODED
        position += len(tokens)
        tokens = [int(context.logits(0).argmax())]
        written += model.piece(tokens[0])
        if tokens[0] in model.end_tokens or b"\n" in written:
            break
    return written.decode().partition("\n")[0].strip()


def test_it_fits_a_repository():
    """At most 12 MB."""
    assert MODEL_PATH.stat().st_size <= BYTES_MAX


def test_the_file_says_how_it_wants_to_be_asked(model: llama.Model):
    """Prompts are laid out and languages are chosen by what the file says of itself."""
    assert model.meta("general.name") == "hearth-tiny"
    assert model.meta("general.license") == "apache-2.0"
    assert model.meta("hearth.fim_order") == "spm-glued"
    assert read_header(MODEL_PATH).strings("hearth.languages") == ("python",)
    assert model.fim.usable


def test_tokens_give_the_text_back(model: llama.Model):
    """Byte-level: nothing is unknown to the tokenizer."""
    text = "def f(x):\r\n\treturn 'naïve 🦉' + x  # ünïcode\n"
    assert b"".join(map(model.piece, model.tokenize(text))).decode() == text


def test_easy_answers_are_sensible(model: llama.Model, context: llama.Context):
    """Most of what any Python programmer would write next; a small model may miss some."""
    answers = [answer(model, context, prefix, suffix) for prefix, suffix, _ in EASY]
    hits = [a.startswith(start) for a, (_, _, start) in zip(answers, EASY, strict=True)]
    assert sum(hits) >= len(EASY) - 2, answers


def test_when_both_agree_it_is_surer_than_either():
    """Two witnesses."""
    both = best_of(SEEN, SURE)
    alone = best_of(None, SURE)
    assert both is not None
    assert alone is not None
    assert both.source == "both"
    assert both.confidence > alone.confidence


def test_the_surer_one_is_shown():
    """A sure model goes before a guess, a long match before a lost model."""
    assert (best_of(GUESS, SURE) or SEEN).text == SURE.text
    assert (best_of(SEEN, LOST) or GUESS).text == SEEN.text


def test_below_the_threshold_nothing_is_shown():
    """Never noise; whoever asks by a key gets the best there is."""
    assert choose(GUESS, LOST) is None
    assert best_of(GUESS, LOST) is not None
    assert choose(None, None) is None
    assert choose(None, Drafted("  ", 0.0, 0.0, 1)) is None


def test_where_no_model_serves_the_look_up_speaks_for_itself():
    """Its own confidence decides."""
    assert (choose(SEEN, None) or GUESS).confidence == SEEN.confidence
    assert choose(GUESS, None) is None


def test_confidence_is_a_probability_that_follows_the_witnesses():
    """Surer witnesses, surer gate; also at the ends of the scale."""
    texts = {"same": Found("name", 20, 0.5, "file"), "other": GUESS}
    for found in texts.values():
        drafts = [Drafted("name", s, s / 3, 3) for s in (-math.inf, -20.0, -6.0, -2.0, -0.2, 0.0)]
        odds = [model_log_odds(draft) for draft in drafts]
        assert odds == sorted(odds)
        confidences = [(best_of(found, draft) or GUESS).confidence for draft in drafts]
        assert all(0 < confidence < 1 for confidence in confidences)
    assert 0.2 < SHOWN_ABOVE < 0.8


PYTHON = [
    ("def f(a):\n    return g(a", ")", "\n\n\ndef h():\n    pass\n", True),
    ("def f(a):\n    return g(a", "))", "\n\n\ndef h():\n    pass\n", False),
    ("def f(a):\n    return g(a", ", b", "\n\n\ndef h():\n    pass\n", False),
    ("def f(a):\n    return g(a", ", b", ")\n", True),
    ("x = call(\n    first,\n    sec", "ond", ",\n)\n", True),
    ("x = call(\n    first,\n    sec", "ond)", ",\n)\n", False),
    ("def f(a):\n    if a", ":", "\n        return 1\n", True),
    ("def f(a):\n    if a", "", "\n        return 1\n", False),
    ("def f(a):\n    if a", ":", "\n    return 1\n", False),
    ("if a:\n    pass\nel", "se:", "\n    pass\n", True),
    ("try:\n    pass\nexcept ", "ValueError:", "\n    pass\n", True),
    ("match a:\n    case ", "1:", "\n        pass\n", True),
    ("@pro", "perty", "\ndef f():\n    pass\n", True),
    ("x = 'it", "'", "\n", True),
    ("x = 'it", "", "\n", False),
    ("x = 1  # don", "'t (ever", "\n", True),
    ('def f():\n    """Say (', "what it", '\n    is."""\n', True),
    ("x = 1 +", " \\", "\n    2\n", True),
    ("", "import os", "\n", True),
    ("import os as", " = 3", "\n", False),
]
"""Prefix, text, suffix, and whether the text fits there."""


@pytest.mark.parametrize(("prefix", "text", "suffix", "expected"), PYTHON)
def test_what_breaks_the_statement_does_not_fit(
    prefix: str, text: str, suffix: str, expected: bool
):
    """The statement under the cursor still parses, and the line below is indented as it asks."""
    assert fits(prefix, text, suffix, language="python") is expected


def test_other_languages_are_only_asked_for_their_brackets():
    """No parser, so no more than that is held against a text."""
    assert fits("f(a", ", b);", "\n", language="javascript") is True
    assert fits("let a = [1", "))", "\n", language="rust") is False


def test_odd_text_is_survived():
    """Quotes, brackets and line ends in any order give an answer, not an exception."""
    for parts in itertools.product(["", "(", "'", '"""', "\\\n", "]", "🦉\r\n", "#"], repeat=3):
        for language in ("python", "c"):
            assert fits(*parts, language=language) in {True, False}


def test_misfits_are_dropped_before_the_choice():
    """What would break the file is not an answer, however sure it is."""
    found, drafted = keep_fitting(
        Found("a))", 40, 0.9, "file"), SURE, prefix="f(", suffix=")\n", language="python"
    )
    assert found is None
    assert drafted == SURE
