"""The self-test of a rung: a few fixed tokens in every way that they will be decoded.

Run in the worker before it takes jobs. What it sees is compared with the safest rung's by `ladder.agrees`; a
crash is an answer too. It also finds out whether the architecture can trim a sequence (ENGINE.md 17).
"""

from __future__ import annotations

import numpy as np

from engines.llama import DECODED, Context, Entry, Model
from engines.wire import Tested

PROMPT_TOKENS = 40
FOLLOWING_TOKENS = 4


class SelfTestError(Exception):
    """The rung computes, but wrongly: numbers that are not finite, or all the same, or no answer at all."""


def run(model: Model, context: Context) -> Tested:
    """Evaluate a prompt, then single tokens of one and of two sequences; leave the cache empty."""
    tokens = _tokens(model.n_vocab)
    prompt = tokens[:PROMPT_TOKENS]
    seen = [_decode(context, [(0, i, token) for i, token in enumerate(prompt)])]
    for step in range(FOLLOWING_TOKENS):
        token = tokens[PROMPT_TOKENS + step]
        seen.append(_decode(context, [(0, PROMPT_TOKENS + step, token)]))
    half = PROMPT_TOKENS // 2
    rows = [(1, i, token) for i, token in enumerate(prompt[:half])]
    seen.append(_decode(context, rows))
    both = [(1, half, tokens[-1]), (0, PROMPT_TOKENS + FOLLOWING_TOKENS, tokens[-2])]
    seen.append(_decode(context, both))
    context.remove(0, 0)
    context.remove(1, 0)
    return Tested(tuple(best for best, _ in seen), tuple(margin for _, margin in seen))


def can_trim(model: Model, context: Context) -> bool:
    """Tell whether the end of a sequence can be dropped and its beginning kept."""
    tokens = _tokens(model.n_vocab)[:8]
    _decode(context, [(0, i, token) for i, token in enumerate(tokens)])
    trimmed = context.remove(0, 4) and context.length(0) == 4
    context.remove(0, 0)
    return trimmed


def _decode(context: Context, rows: list[tuple[int, int, int]]) -> tuple[int, float]:
    """Return the best token behind the last row, and how far the runner-up is behind it."""
    last = len(rows) - 1
    entries = [
        Entry(token, position, sequence, wants_logits=i == last)
        for i, (sequence, position, token) in enumerate(rows)
    ]
    code = context.decode(entries)
    if code != DECODED:
        raise SelfTestError(f"llama.cpp answered {code} to a small batch")
    logits = context.logits(last)
    if not np.isfinite(logits).all() or float(np.ptp(logits)) == 0.0:
        raise SelfTestError("the logits are not numbers, or all the same")
    second, best = np.partition(logits, -2)[-2:]
    return int(np.argmax(logits)), float(best - second)


def _tokens(n_vocab: int) -> list[int]:
    """Return fixed tokens that every vocabulary has, spread over its lower part."""
    first = min(300, n_vocab // 2)  # before it are single bytes
    return [first + (i * 7919) % (min(n_vocab, 30_000) - first) for i in range(64)]
