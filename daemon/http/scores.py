"""How likely tokens were, in the three shapes in which clients ask for it: llama-server's, OpenAI's, OpenAI's older one.

A token need not be whole characters: its `bytes` are exact, its text is for reading.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from engines.engine import Likely, Score

TOPS_MAX = 20
"""Likeliest tokens that are named beside each token, at most: OpenAI's own limit."""
LOGPROB_MIN = -9999.0
"""Stands for what is impossible: JSON has no infinity."""


def native_scores(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """llama-server's `completion_probabilities`."""
    return [
        _entry(score.chosen) | {"top_logprobs": [_entry(likely) for likely in score.tops]}
        for score in scores
    ]


def chat_scores(scores: Sequence[Score]) -> dict[str, Any]:
    """The `logprobs` of `/v1/chat/completions`; as from llama-server, tokens have their `id` too."""
    return {"content": native_scores(scores), "refusal": None}


class TextScores:
    """The `logprobs` of `/v1/completions`, whose offsets count the characters of the answer so far."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = 0

    def of(self, scores: Sequence[Score]) -> dict[str, Any]:
        """The scores of the tokens that follow."""
        return {
            "tokens": [_text(score.chosen) for score in scores],
            "token_logprobs": [_logprob(score.chosen) for score in scores],
            "top_logprobs": [
                {_text(likely): _logprob(likely) for likely in score.tops} for score in scores
            ],
            "text_offset": [self._offset_of(score.chosen) for score in scores],
        }

    def _offset_of(self, chosen: Likely) -> int:
        offset = self._offset
        self._offset += len(self._decoder.decode(chosen.piece))
        return offset


def _entry(likely: Likely) -> dict[str, Any]:
    return {
        "id": likely.token,
        "token": _text(likely),
        "bytes": list(likely.piece),
        "logprob": _logprob(likely),
    }


def _text(likely: Likely) -> str:
    return likely.piece.decode("utf-8", "replace")


def _logprob(likely: Likely) -> float:
    return max(likely.logprob, LOGPROB_MIN)
