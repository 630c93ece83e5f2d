"""From a text to the tokens of which an embedding model makes a vector: framed as its tokenizer says, and never cut.

What a text says is text, whatever it looks like: only the frame puts special tokens in.
"""

from __future__ import annotations

from typing import Protocol

from engines.engine import Embed, Prompt
from engines.prompt import TOKEN_CHARS_MAX, Layout, PromptError, TooLongError

WRITES_NOTHING = "this is an embedding model: it turns text into vectors and writes none"


class Framer(Protocol):
    """What laying out needs of a model."""

    def tokenize(self, text: str, *, special: bool = False, framed: bool = False) -> list[int]:
        """Tokenise text."""


class Framing:
    """Lays texts out for one model, as `engines.prompt.Layouter` does for one that writes."""

    def __init__(self, model: Framer, *, context: int) -> None:
        self._model = model
        self._context = context

    def lay_out(self, prompt: Prompt, _tokens_max: int) -> Layout:
        """Return the tokens of a text. PromptError where it is none, is empty, or is too long."""
        if not isinstance(prompt, Embed):
            raise PromptError(WRITES_NOTHING)
        if not prompt.text:
            raise PromptError("the text is empty: there is no vector of nothing")
        if len(prompt.text) > self._context * TOKEN_CHARS_MAX:
            raise TooLongError(
                f"the text has {len(prompt.text)} characters; the model takes {self._context} tokens"
            )
        tokens = self._model.tokenize(prompt.text, framed=True)
        if not tokens:
            raise PromptError("the text has no tokens")
        if len(tokens) > self._context:
            raise TooLongError(
                f"the text has {len(tokens)} tokens; the model takes {self._context}. Send it in parts",
                len(tokens),
            )
        return Layout(tuple(tokens))

    def answer_tokens(self, _layout: Layout, _tokens_max: int) -> int:
        """Return 0: nothing is written."""
        return 0
