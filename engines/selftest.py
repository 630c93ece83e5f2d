"""The self-test of a rung: a few fixed tokens in every way that they will be decoded.

Run in the worker before it takes jobs. What it sees is compared with the safest rung's by `ladder.agrees`; a
crash is an answer too. `probe` finds out what the architecture and the backend allow (ENGINE.md 9, 17).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engines.llama import ABORTED, DECODED, Context, Feed, Model
from engines.wire import Tested

PROMPT_TOKENS = 40
FOLLOWING_TOKENS = 4
MOVED_BY = 64
MOVED_DIFFERENCE_MAX = 0.4
"""Of the logits' spread: turning keys rounds them, at most 0.11 where it is right; where it is wrong the least was 1.8."""


class SelfTestError(Exception):
    """The rung computes, but wrongly: numbers that are not finite, or all the same, or no answer at all."""


def run(model: Model, context: Context) -> Tested:
    """Evaluate a prompt, then single tokens of one and of two sequences; leave the cache empty."""
    tokens = _tokens(model.n_vocab)
    prompt = tokens[:PROMPT_TOKENS]
    seen = [_decode(context, [(0, 0, prompt)])]
    for step in range(FOLLOWING_TOKENS):
        token = tokens[PROMPT_TOKENS + step]
        seen.append(_decode(context, [(0, PROMPT_TOKENS + step, [token])]))
    half = PROMPT_TOKENS // 2
    seen.append(_decode(context, [(1, 0, prompt[:half])]))
    both = [(1, half, [tokens[-1]]), (0, PROMPT_TOKENS + FOLLOWING_TOKENS, [tokens[-2]])]
    seen.append(_decode(context, both))
    context.remove(0, 0)
    context.remove(1, 0)
    return Tested(tuple(best for best, _ in seen), tuple(margin for _, margin in seen))


def run_pooled(model: Model, context: Context, *, whole: bool) -> Tested:
    """Make vectors of two texts, in one piece each if `whole`, else in two parts; leave the cache empty."""
    tokens = _tokens(model.n_vocab)
    texts = tokens[:PROMPT_TOKENS], tokens[PROMPT_TOKENS:]
    return Tested(vectors=tuple(_vector(context, text, whole=whole) for text in texts))


def _vector(context: Context, tokens: list[int], *, whole: bool) -> tuple[float, ...]:
    read = 0 if whole else len(tokens) - 1
    if read:
        context.decode([Feed(0, 0, tokens[:read], wants_logits=False)])
    code = context.pool([Feed(0, read, tokens[read:], wants_logits=True)])
    if code != DECODED:
        raise SelfTestError(f"llama.cpp answered {code} to a small batch")
    vector = context.vector(0)
    context.remove(0, 0)
    length = float(np.linalg.norm(vector))
    if not 0.0 < length < np.inf:
        raise SelfTestError("the vector is not numbers, or all 0")
    return tuple((vector / length).tolist())


@dataclass(frozen=True, slots=True)
class Abilities:
    """What can be done to a cache, found by doing it."""

    trim: bool
    """Drop the end of a sequence: not in recurrent models."""
    shift: bool
    """Move cells to other positions."""
    abort: bool
    """Break off a step inside: only the processor's backend can, and what it leaves must be trimmed away."""


def probe(model: Model, context: Context) -> Abilities:
    """Find out what this context can do; leave the cache empty."""
    tokens = _tokens(model.n_vocab)[:24]
    prompt = [Feed(0, 0, tokens, wants_logits=True)]
    context.decode(prompt)
    trim = context.remove(0, 4) and context.length(0) == 4
    context.remove(0, 0)
    context.abort()
    aborted = context.decode(prompt) == ABORTED
    context.resume()
    context.remove(0, 0)
    shift = trim and context.can_shift and _shifts(context, tokens)
    return Abilities(trim=trim, shift=shift, abort=trim and aborted)


def _shifts(context: Context, tokens: list[int]) -> bool:
    """Move a whole sequence: what a model sees of it is the same, if positions are turned as they should be."""
    context.decode([Feed(0, 0, tokens[:-1], wants_logits=False)])
    context.decode([Feed(0, len(tokens) - 1, tokens[-1:], wants_logits=True)])
    still = context.logits(0).copy()
    context.remove(0, len(tokens) - 1)
    context.shift(0, 0, MOVED_BY)
    code = context.decode([Feed(0, len(tokens) - 1 + MOVED_BY, tokens[-1:], wants_logits=True)])
    moved = context.logits(0).copy() if code == DECODED else None
    context.remove(0, 0)
    if moved is None:
        return False
    return float(np.abs(moved - still).max()) <= MOVED_DIFFERENCE_MAX * float(still.std())


def _decode(context: Context, rows: list[tuple[int, int, list[int]]]) -> tuple[int, float]:
    """Return the best token behind the last row, and how far the runner-up is behind it."""
    last = len(rows) - 1
    feeds = [
        Feed(sequence, position, tokens, wants_logits=i == last)
        for i, (sequence, position, tokens) in enumerate(rows)
    ]
    code = context.decode(feeds)
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
