"""What a token is held against: a fresh pass of one sequence over the same tokens; and a llama.cpp that goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from engines.engine import Sampling
from engines.llama import ABORTED, DECODED, Context, Feed, Model
from engines.sampling import Logits, Sampler

EPS = 0.15
"""In logits, as in test_batch_equality: sums in another order."""
GREEDY = (Sampling(), Sampling(ignore_eos=True))
"""Samplings that draw the likeliest token, whatever came before."""


class Breakable(Context):
    """llama.cpp whose next decode goes wrong in a way that was chosen."""

    mishap: Callable[[Sequence[Feed]], int] | None = None

    def decode(self, feeds: Sequence[Feed]) -> int:
        mishap, self.mishap = self.mishap, None
        return mishap(feeds) if mishap else super().decode(feeds)

    def hurried(self, feeds: Sequence[Feed], after: int, hurry: Callable[[], bool]) -> int:
        """A newcomer hurries the step when `after` tokens of each sequence are through, in whole sub-batches."""
        most = len(feeds[0].tokens)
        if after >= most:  # the flag is seen when all is through and the logits are not told yet
            code = super().decode(feeds)
            return ABORTED if hurry() and code == DECODED else code
        if after:
            code = super().decode([_part(feed, 0, after) for feed in feeds])
            assert code == DECODED, "there is room for a part of a chunk"
        hurry()
        return super().decode([_part(feed, after, most) for feed in feeds])


def _part(feed: Feed, start: int, end: int) -> Feed:
    wants = feed.wants_logits and end >= len(feed.tokens)
    return Feed(feed.sequence, feed.position + start, feed.tokens[start:end], wants)


class Judge:
    """How far a token is from what a fresh pass of one sequence makes of the same tokens. It remembers verdicts."""

    def __init__(self, model: Model, context: Context) -> None:
        self._model = model
        self._context = context
        self._known: dict[tuple[object, ...], float] = {}

    def differences(
        self, prompt: list[int], emitted: list[int], sampling: Sampling, *, ended: bool
    ) -> list[float]:
        """In logits, one for each token; `ended`: one more, for the end token that followed them."""
        steps = [*emitted, None] if ended else list(emitted)
        keys = [
            (sampling, tuple(prompt), tuple(emitted[:at]), token) for at, token in enumerate(steps)
        ]
        if not all(key in self._known for key in keys):
            self._evaluate(prompt[:-1])
            for at, (key, token) in enumerate(zip(keys, steps, strict=True)):
                history = [*prompt, *emitted[:at]]
                feed = Feed(0, len(history) - 1, history[-1:], wants_logits=True)
                assert self._context.decode([feed]) == DECODED
                self._known[key] = self._difference(token, history, sampling)
        return [self._known[key] for key in keys]

    def _evaluate(self, tokens: list[int]) -> None:
        self._context.remove(0, 0)
        for at in range(0, len(tokens), 128):
            feed = Feed(0, at, tokens[at : at + 128], wants_logits=False)
            assert self._context.decode([feed]) == DECODED

    def _difference(self, token: int | None, history: list[int], sampling: Sampling) -> float:
        logits = self._context.logits(0).copy()
        ends = sorted(self._model.end_tokens)
        if token is None:
            token = max(ends, key=lambda end: logits[end])
        if sampling in GREEDY:  # how far below the best
            if sampling.ignore_eos:
                logits[ends] = -np.inf
            return float(logits.max() - logits[token])
        sampler = Sampler(sampling, self._model.end_tokens, self._model.piece)
        return _least_change(sampler, logits, history, token)


def _least_change(sampler: Sampler, logits: Logits, history: list[int], token: int) -> float:
    """The least of some changes of two logits that makes a sampler draw this token; infinite where none does."""
    drawn = sampler.draw(logits, history)
    if drawn == token:
        return 0.0
    for eps in (EPS / 4, EPS / 2, EPS):
        for up, down in ((1, -1), (1, 0), (0, -1), (-1, 1), (-1, 0), (0, 1)):
            changed = logits.copy()
            changed[token] += up * eps
            changed[drawn] += down * eps
            if sampler.draw(changed, history) == token:
                return eps
    return math.inf
