"""The choice of the next token from its logits, in NumPy.

llama.cpp's own samplers build a list of candidates over the whole vocabulary for every sequence and step, which
costs ten times what this does. Sampler state cannot be carried from one worker to another; here there is none:
a token is drawn with a seed made of (request seed, position), and penalties are counted from the tokens
themselves, so that park, kill and retry change nothing (ENGINE.md 19).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from engines.constraint import Matcher
from engines.engine import Likely, Sampling, Score

Logits = npt.NDArray[np.float32]

INFILL_KEPT_ABOVE = 0.2
"""llama.cpp's infill sampler: with no text candidate this likely, the middle ends."""
INFILL_MERGED_MAX = 40
"""How many text candidates are compared with each other; those behind are too unlikely to matter."""
FARTHEST = 1e30
"""Stands for infinity, which cannot be computed with."""
CANDIDATES_MAX = 1024
"""With no top-k asked for, the tail beyond this many candidates is cut: its mass is not worth sorting for."""
ASKED_MAX = 64
"""A grammar is asked about so many candidates one by one; for more, one pass over the vocabulary is cheaper."""
COLUMN = 64
"""Logits of which the largest stands for all when a threshold is sought."""


class Sampler:
    """Draws the tokens of one request; under a grammar where it has a matcher."""

    def __init__(
        self,
        sampling: Sampling,
        end_tokens: frozenset[int],
        piece: Callable[[int], bytes],
        matcher: Matcher | None = None,
    ) -> None:
        self._sampling = sampling
        self._ends = np.fromiter(sorted(end_tokens), np.int64, len(end_tokens))
        self._end_set = end_tokens
        self._piece = piece
        self._matcher = matcher
        self._greedy = self._is_greedy()

    def draw(self, logits: Logits, history: Sequence[int]) -> int:
        """Return the next token. `history` are the tokens before it, prompt included; its length is the position.

        Raises `engines.constraint.MatcherError` where the grammar lets nothing follow.
        """
        if self._greedy:
            token = int(np.argmax(logits))
            if not (self._sampling.ignore_eos and token in self._end_set) and self._allows(token):
                return token
        return self._draw(logits, history)

    def accept(self, token: int) -> None:
        """Take note of a token of the answer: one that was drawn, or that a former worker sent."""
        if self._matcher is not None:
            self._matcher.accept(token)

    @property
    def ended(self) -> bool:
        """Whether a grammar is complete and only an end may follow, even where ends are to be ignored."""
        return self._matcher is not None and self._matcher.ended

    def _allows(self, token: int) -> bool:
        return self._matcher is None or self._matcher.allows(token)

    def _is_greedy(self) -> bool:
        """Whether the largest logit is drawn, unless it ends what must not end."""
        s = self._sampling
        return not (s.temperature > 0 or s.infill or s.logit_bias or self._penalises())

    def _penalises(self) -> bool:
        s = self._sampling
        return s.repeat_penalty != 1 or s.frequency_penalty != 0 or s.presence_penalty != 0

    def _draw(self, logits: Logits, history: Sequence[int]) -> int:
        s = self._sampling
        changed = self._biased(logits, history)
        infill = s.infill and not s.ignore_eos
        if not s.temperature > 0 and not infill:
            return self._likeliest(changed)
        tokens, weights = self._candidates(changed)
        if infill and (end := self._infill(tokens, weights)) is not None and self._allows(end):
            return end
        if not s.temperature > 0 or len(tokens) == 1:
            return int(tokens[0])
        return self._roll(tokens, weights, len(history))

    def _biased(self, logits: Logits, history: Sequence[int]) -> Logits:
        """Apply biases and penalties to a copy. What is no number after that has no chance."""
        s = self._sampling
        out = logits.copy()
        with np.errstate(all="ignore"):
            for token, bias in s.logit_bias:
                if 0 <= token < len(out):
                    out[token] = max(out[token] + bias, -FARTHEST)
        if s.ignore_eos:
            out[self._ends] = -FARTHEST
        if self._penalises() and s.penalty_tokens > 0:
            self._penalise(out, history[-s.penalty_tokens :])
        if not np.isfinite(out.max()):  # one that is no number shows in the largest
            np.nan_to_num(out, copy=False, nan=-FARTHEST, posinf=FARTHEST, neginf=-FARTHEST)
        return out

    def _penalise(self, out: Logits, recent: Sequence[int]) -> None:
        s = self._sampling
        seen, counts = np.unique(np.asarray(recent, np.int64), return_counts=True)
        held = out[seen].astype(np.float64)
        with np.errstate(all="ignore"):
            held = np.where(held > 0, held / s.repeat_penalty, held * s.repeat_penalty)
            held -= s.frequency_penalty * counts + s.presence_penalty
            out[seen] = np.maximum(held, -FARTHEST)

    def _likeliest(self, logits: Logits) -> int:
        """Return the largest of the logits that is allowed; they may be changed."""
        token = int(np.argmax(logits))
        if self._matcher is None or self._matcher.allows(token):
            return token
        self._matcher.restrict(logits)
        return int(np.argmax(logits))

    def _best(self, logits: Logits, count: int) -> npt.NDArray[np.int64]:
        """Return the largest that are allowed, best first; the logits may be changed."""
        if self._matcher is None:
            return best(logits, count)
        if count <= ASKED_MAX:
            asked = filter(self._matcher.allows, best(logits, 2 * count).tolist())
            allowed = np.fromiter(islice(asked, count), np.int64)
            if len(allowed) == count:
                return allowed
        self._matcher.restrict(logits)
        return best(logits, count)

    def _candidates(self, logits: Logits) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return candidates by falling probability after top-k, top-p and min-p, at temperature 1."""
        s = self._sampling
        k = min(s.top_k if s.top_k > 0 else CANDIDATES_MAX, CANDIDATES_MAX, len(logits))
        tokens = self._best(logits, k)
        weights = _softmax(logits[tokens].astype(np.float64))
        if s.top_p < 1:
            kept = int(np.searchsorted(np.cumsum(weights), s.top_p)) + 1
            tokens, weights = tokens[:kept], weights[:kept]
        if s.min_p > 0:
            keep = weights >= min(s.min_p, 1.0) * weights[0]
            tokens, weights = tokens[keep], weights[keep]
        return tokens, weights / weights.sum()

    def _infill(
        self, tokens: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]
    ) -> int | None:
        """Return an end token where llama.cpp's infill sampler would end the middle.

        1. The end tokens together, weighed by three times the number of candidates, outweigh the text.
        2. No text candidate, with those whose bytes begin or continue its own, is likely enough.
        """
        ends = np.isin(tokens, self._ends)
        best_end = int(tokens[ends][0]) if ends.any() else None
        p_end = float(weights[ends].sum())
        if best_end is not None and 3 * p_end * len(tokens) > 1 - p_end:  # 1
            return best_end
        if self._likeliest_text(tokens[~ends], weights[~ends]) < INFILL_KEPT_ABOVE:  # 2
            return (
                best_end
                if best_end is not None
                else (int(self._ends[0]) if len(self._ends) else None)
            )
        return None

    def _likeliest_text(
        self, tokens: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]
    ) -> float:
        """Return the largest probability of a text candidate merged with those that begin alike."""
        if not len(tokens) or weights[0] >= INFILL_KEPT_ABOVE:
            return float(weights[0]) if len(tokens) else 0.0
        tokens, weights = tokens[:INFILL_MERGED_MAX], weights[:INFILL_MERGED_MAX]
        pieces = [self._piece(int(token)) for token in tokens]
        merged = (
            sum(
                w
                for other, w in zip(pieces, weights, strict=True)
                if _one_begins_other(piece, other)
            )
            for piece in pieces
        )
        return float(max(merged))

    def _roll(
        self, tokens: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], position: int
    ) -> int:
        s = self._sampling
        with np.errstate(all="ignore"):
            heated = _softmax(np.log(weights / weights[0]) / s.temperature)
        roll = np.random.default_rng((s.seed & 0xFFFFFFFFFFFFFFFF, position)).random()
        index = int(np.searchsorted(np.cumsum(heated), roll, side="right"))
        return int(tokens[min(index, len(tokens) - 1)])


def _one_begins_other(a: bytes, b: bytes) -> bool:
    return bool(a) and bool(b) and (a.startswith(b) or b.startswith(a))


def _softmax(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    weights = np.exp(values - values.max())
    total: npt.NDArray[np.float64] = weights / weights.sum()
    return total


def best(logits: Logits, count: int) -> npt.NDArray[np.int64]:
    """Return the `count` largest (fewer, if fewer are above minus infinity), best first, the lower token first.

    Partitioning the whole vocabulary takes more than twice as long. Among the largest of each column, the count-th
    is a threshold: nothing below it is wanted, and little is above it.
    """
    rows = min(COLUMN, len(logits) // max(count, 1))
    threshold = np.finfo(np.float32).min
    if rows > 1:
        columns = logits[: len(logits) // rows * rows].reshape(rows, -1).max(axis=0)
        threshold = max(threshold, np.partition(columns, -count)[-count])
    tokens = np.flatnonzero(logits >= threshold)
    order = np.argsort(-logits[tokens], kind="stable")
    return tokens[order[:count]]


def logprob(logits: Logits, token: int) -> float:
    """Return the natural log-probability of a token."""
    return float(logits[token] - _log_total(logits))


def score(logits: Logits, token: int, tops: int, piece: Callable[[int], bytes]) -> Score:
    """Return how likely a token was, and the `tops` likeliest in its place."""
    total = _log_total(logits)

    def likely(one: int) -> Likely:
        return Likely(one, piece(one), float(logits[one] - total))

    return Score(likely(token), tuple(map(likely, best(logits, tops).tolist())) if tops > 0 else ())


def _log_total(logits: Logits) -> float:
    """Return the logarithm of the sum of all exponentials."""
    top = logits.max()
    return float(top + np.log(np.exp(logits - top).sum()))
