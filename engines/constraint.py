"""Answers that must match a grammar or a JSON schema: which tokens may follow, and which may not.

llguidance does the work, not llama.cpp's own sampler. Hostile sources (nested 20,000 deep, repetitions in the
millions, left recursion, endless references, catastrophic patterns) were answered by an error message, where
llama.cpp's dies or aborts (ENGINE.md 21); it holds limits of its own for items, lexer states and sizes; it asks for
one token without a list of the whole vocabulary, in microseconds. What it does not bound is bounded here:

1. Its compiler recurses with every rule that refers to the next, and 8 MiB of stack were too few for 1,000 of them:
   the source has at most `SOURCE_BYTES_MAX`, and a thread with `STACK_BYTES` compiles it.
2. `patternProperties` are compared pair by pair: there are at most `PATTERNS_MAX`.
3. A compiler that has taken `COMPILE_S` is waited for no longer, and while it runs no other begins.
"""

from __future__ import annotations

import json
import threading
from typing import Any, Protocol

import llguidance
import numpy as np
import numpy.typing as npt

from engines.engine import Constraint
from engines.gbnf import GbnfError, to_lark

SOURCE_BYTES_MAX = 1 << 16
STACK_BYTES = 256 << 20
"""Of address space: memory is taken as far as it is used. An eighth was enough for the deepest sources of that size."""
PATTERNS_MAX = 32
COMPILE_S = 2.0
ROW_ITEMS_MAX = 1000
STEP_ITEMS_MAX = 100_000
"""Places in the grammar behind one token, and in a pass over the vocabulary: 0.2 s were the worst seen."""
GRAMMAR_SYMBOLS_MAX = 200_000
REASON_CHARACTERS = 160
WHITESPACE = r"[ ]|\n[ \t]{0,20}"
"""Between JSON's tokens, as llama.cpp has it: a small model that may write blanks for ever does."""

_BEGIN = "\x00"
"""A character before every answer, and a token of it that no model has: rows of items are limited behind a token."""

_OPTIONS = '%llguidance {"no_forcing": true}'
"""Where only one text can follow it would allow only one way to tokenise it, and that not always the model's."""
_LIMITS = llguidance.LLParserLimits(
    max_items_in_row=ROW_ITEMS_MAX,
    step_max_items=STEP_ITEMS_MAX,
    max_grammar_size=GRAMMAR_SYMBOLS_MAX,
    precompute_large_lexemes=False,  # it would take its time before the first token
    verbose_errors=False,  # the text of the request is nobody's business
)

_REASONS = {
    " items": "too many ways to go on are open at once, make it smaller or less ambiguous",
    "NoExtension": "no text matches it",
}
"""What llguidance says of its own insides, in the caller's words."""


class ConstraintError(ValueError):
    """The grammar or schema cannot be used; the message tells the caller why and what to do."""


class MatcherError(Exception):
    """A request cannot go on under its constraint; the message tells the caller why."""


class Vocabulary(Protocol):
    """What is asked of a model; see `engines.llama.Model`."""

    n_vocab: int
    end_tokens: frozenset[int]

    def piece(self, token: int) -> bytes:
        """Return the bytes a token stands for; control tokens stand for none."""


class Constraints:
    """Compiles constraints for one model. One thread may use it, beside a running step.

    The table of tokens is made at the first constraint: it takes some tenths of a second for 152k tokens.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._tokenizer: llguidance.LLTokenizer | None = None
        self._compiler: threading.Thread | None = None

    def compile(self, constraint: Constraint, *, healed: str = "") -> Matcher:
        """Return a matcher at the beginning of the answer. Raises `ConstraintError`.

        `healed` are the blanks of the prompt that the model writes again in front of its answer.
        """
        if len(constraint.text.encode("utf-8", "replace")) > SOURCE_BYTES_MAX:
            raise ConstraintError(
                f"the grammar or schema is larger than {SOURCE_BYTES_MAX >> 10} KiB: make it smaller"
            )
        body = _body(constraint)
        if self._tokenizer is None:
            self._tokenizer = _tokenizer(self._vocabulary)
        grammar = f"{_OPTIONS}\nstart: {json.dumps(_BEGIN + healed)} body\n{body}"
        matcher = Matcher(self._compile(self._tokenizer, grammar), self._vocabulary)
        try:
            possible = matcher.followers().any()
        except MatcherError as error:
            raise ConstraintError(str(error)) from error
        if not possible:
            raise ConstraintError("the grammar or schema cannot be met: no text matches it")
        return matcher

    def _compile(self, tokenizer: llguidance.LLTokenizer, grammar: str) -> llguidance.LLMatcher:
        """Compile in a thread of its own (1) and for a limited time (3)."""
        if self._compiler is not None and self._compiler.is_alive():
            raise ConstraintError("another grammar is still being compiled: try again later")
        compiled: list[llguidance.LLMatcher] = []

        def work() -> None:
            matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0, limits=_LIMITS)
            matcher.consume_token(self._vocabulary.n_vocab)  # _BEGIN
            compiled.append(matcher)

        before = threading.stack_size(STACK_BYTES)
        try:
            self._compiler = threading.Thread(target=work, daemon=True)
            self._compiler.start()
        finally:
            threading.stack_size(before)
        self._compiler.join(COMPILE_S)
        if not compiled:
            raise ConstraintError(
                f"the grammar or schema took longer than {COMPILE_S:.0f} s to compile: simplify it"
            )
        if compiled[0].is_error():
            raise ConstraintError(f"the grammar or schema cannot be used: {_reason(compiled[0])}")
        return compiled[0]


class Matcher:
    """Where one answer stands in its grammar. Replaying its tokens with `accept` rebuilds it (ENGINE.md 19)."""

    def __init__(self, matcher: llguidance.LLMatcher, vocabulary: Vocabulary) -> None:
        self._matcher = matcher
        self._n_vocab = vocabulary.n_vocab
        self._end_set = vocabulary.end_tokens
        self._ends = np.fromiter(sorted(vocabulary.end_tokens), np.int64)

    @property
    def ended(self) -> bool:
        """Whether the answer is complete and only an end token may follow."""
        return self._matcher.is_stopped() and self._matcher.is_accepting()

    def allows(self, token: int) -> bool:
        """Whether a token may come next: microseconds, where `restrict` may take milliseconds."""
        if token in self._end_set:
            return self._matcher.is_accepting()
        allowed = self._matcher.validate_tokens([token]) == 1
        self._check()
        return allowed

    def accept(self, token: int) -> None:
        """Go on behind a token of the answer; an end token adds nothing. Raises `MatcherError`."""
        if token not in self._end_set:
            self._matcher.consume_token(token)
            self._check()

    def restrict(self, logits: npt.NDArray[np.float32]) -> None:
        """Set what may not come next to minus infinity, in place. Raises `MatcherError` where nothing may."""
        followers = self.followers()
        if not followers.any():
            raise MatcherError("no token of this model can go on with the answer under its grammar")
        np.copyto(logits, -np.inf, where=~followers)

    def followers(self) -> npt.NDArray[np.bool_]:
        """Return for each token whether it may come next."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        followers = np.unpackbits(bits, count=self._n_vocab, bitorder="little").view(np.bool_)
        followers[self._ends] = (
            self._matcher.is_accepting()
        )  # it offers an end where nothing else fits
        return followers

    def _check(self) -> None:
        if self._matcher.is_error():
            raise MatcherError(
                f"the grammar could not be followed further: {_reason(self._matcher)}"
            )


def _body(constraint: Constraint) -> str:
    """Return the rules of Lark that define `body`."""
    match constraint.kind:
        case "gbnf":
            try:
                return to_lark(constraint.text, "body")
            except GbnfError as error:
                raise ConstraintError(f"the grammar cannot be read: {error}") from error
        case "json_schema":
            return f"body: %json {json.dumps(_schema(constraint.text))}\n"
        case _:
            raise ConstraintError(f"there is no constraint of this kind: {constraint.kind[:20]}")


def _schema(text: str) -> dict[str, Any]:
    """Read a schema, with our own options in it in place of the caller's."""
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConstraintError(f"the schema is not JSON: {where}: {error.msg}") from error
    except (RecursionError, ValueError) as error:
        raise ConstraintError("the schema is nested too deep, or has too large a number") from error
    if not isinstance(schema, dict):
        raise ConstraintError("the schema must be a JSON object")
    if _patterns(schema) > PATTERNS_MAX:
        raise ConstraintError(f"the schema has more than {PATTERNS_MAX} patternProperties")
    return {**schema, "x-guidance": {"whitespace_pattern": WHITESPACE}}


def _patterns(value: object) -> int:
    """Count the patterns of all `patternProperties` inside."""
    if isinstance(value, list):
        return sum(_patterns(item) for item in value)
    if not isinstance(value, dict):
        return 0
    own = value.get("patternProperties")
    return sum(_patterns(item) for item in value.values()) + (
        len(own) if isinstance(own, dict) else 0
    )


def _tokenizer(vocabulary: Vocabulary) -> llguidance.LLTokenizer:
    return llguidance.LLTokenizer(
        llguidance.TokenizerWrapper(_Table(vocabulary)),
        eos_token=sorted(vocabulary.end_tokens),
        slices=llguidance.LLTokenizer.json_slices(),
    )


class _Table:
    """A vocabulary as llguidance wants to see it."""

    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary) -> None:
        ends = vocabulary.end_tokens
        self.eos_token_id = min(ends)
        self.tokens = [
            b"" if token in ends else vocabulary.piece(token) for token in range(vocabulary.n_vocab)
        ]
        self.tokens.append(_BEGIN.encode())

    def __call__(self, _text: bytes) -> list[int]:
        """Tokenise, which is asked for only where text is forced."""
        return []


def _reason(matcher: llguidance.LLMatcher) -> str:
    """Return why it stopped, without the text of the request."""
    lines = [line.strip() for line in matcher.get_error().splitlines() if line.strip()]
    if not lines or lines[0].startswith("panic"):
        return "it is too large"
    for sign, reason in _REASONS.items():
        if sign in lines[0]:
            return reason
    named = next((line for line in lines if line.startswith("error:")), lines[0])
    return named.partition(" (at ")[0][:REASON_CHARACTERS]
