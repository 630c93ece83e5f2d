"""OpenAI's answers, whole and streamed: one object for texts, one for conversations. Both are `Voice`s."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from daemon.http.native_answers import select, timings_of
from daemon.http.scores import TextScores, chat_scores
from daemon.http.sse import DONE, Pattern, event
from daemon.tickets import Piece, Result
from engines.engine import Score, Timings


@dataclass(frozen=True, slots=True)
class Heading:
    """What every document of one answer begins with, and what the client wants beside the text."""

    number: int
    model: str
    include_usage: bool
    response_fields: tuple[str, ...]
    scored: bool = False
    """Whether scores were asked for."""
    created: int = field(default_factory=lambda: int(time.time()))


class _Answer(ABC):
    """What both kinds have in common."""

    prefix: ClassVar[str]
    kind: ClassVar[str]
    """What a document of a stream is called."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._text = Pattern(lambda text: self._document(self.kind, [self._choice(text, None)]))

    def piece(self, piece: Piece) -> bytes:
        """One event of text, with the scores of its tokens where those were asked for."""
        if piece.scores:
            choice = self._choice(piece.text, self._scores(piece.scores))
            return event(self._document(self.kind, [choice]))
        return self._text.filled(piece.text) if piece.text else b""

    @abstractmethod
    def _choice(self, text: str, scores: dict[str, Any] | None) -> dict[str, Any]:
        """The choice of an event that carries text."""

    @abstractmethod
    def _scores(self, scores: tuple[Score, ...]) -> dict[str, Any]:
        """The scores of tokens, which follow those of the call before."""

    def _document(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        heading = self._heading
        return {
            "id": f"{self.prefix}-{heading.number}",
            "object": kind,
            "created": heading.created,
            "model": heading.model,
            "choices": choices,
            **more,
        }

    def _whole(self, kind: str, choice: dict[str, Any], result: Result) -> dict[str, Any]:
        """The one document of an answer in one piece."""
        if self._heading.scored:
            choice["logprobs"] = self._scores(result.scores)
        spent = result.timings
        document = self._document(kind, [choice], usage=usage_of(spent), timings=timings_of(spent))
        return select(document, self._heading.response_fields)

    def _closing(self, choice: dict[str, Any], result: Result) -> bytes:
        """Why it ended, what it cost, and the end of the stream."""
        last = self._document(self.kind, [choice], timings=timings_of(result.timings))
        return event(last) + self._usage(result) + DONE

    def _usage(self, result: Result) -> bytes:
        """The event with no choice that says what it cost, for those who asked."""
        if not self._heading.include_usage:
            return b""
        return event(self._document(self.kind, [], usage=usage_of(result.timings)))


class TextAnswer(_Answer):
    """`/v1/completions`."""

    prefix = "cmpl"
    kind = "text_completion"

    def __init__(self, heading: Heading) -> None:
        super().__init__(heading)
        self._text_scores = TextScores()

    def whole(self, result: Result) -> dict[str, Any]:
        """The answer in one piece."""
        return self._whole(self.kind, _text_choice(result.text, finish_reason(result)), result)

    def opening(self) -> bytes:
        """Nothing comes before text."""
        return b""

    def closing(self, result: Result) -> bytes:
        """Why it ended, what it cost, and the end of the stream."""
        return self._closing(_text_choice("", finish_reason(result)), result)

    def _choice(self, text: str, scores: dict[str, Any] | None) -> dict[str, Any]:
        return _text_choice(text, None) | {"logprobs": scores}

    def _scores(self, scores: tuple[Score, ...]) -> dict[str, Any]:
        return self._text_scores.of(scores)


class ChatAnswer(_Answer):
    """`/v1/chat/completions`."""

    prefix = "chatcmpl"
    kind = "chat.completion.chunk"

    def whole(self, result: Result) -> dict[str, Any]:
        """The answer in one piece."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": result.text},
            "logprobs": None,
            "finish_reason": finish_reason(result),
        }
        return self._whole("chat.completion", choice, result)

    def opening(self) -> bytes:
        """Who speaks."""
        choice = _delta({"role": "assistant", "content": ""}, None)
        return event(self._document(self.kind, [choice]))

    def closing(self, result: Result) -> bytes:
        """Why it ended, what it cost, and the end of the stream."""
        return self._closing(_delta({}, finish_reason(result)), result)

    def _choice(self, text: str, scores: dict[str, Any] | None) -> dict[str, Any]:
        return _delta({"content": text}, None) | {"logprobs": scores}

    def _scores(self, scores: tuple[Score, ...]) -> dict[str, Any]:
        return chat_scores(scores)


def finish_reason(result: Result) -> str:
    """`length` when a limit ended it, of tokens or of time; else `stop`."""
    return "stop" if result.stop and result.stop.kind != "limit" else "length"


def usage_of(spent: Timings) -> dict[str, Any]:
    """Tokens, counted as OpenAI does."""
    return {
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.emitted_tokens,
        "total_tokens": spent.prompt_tokens + spent.emitted_tokens,
        "prompt_tokens_details": {"cached_tokens": spent.cached_tokens},
    }


def _text_choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}


def _delta(delta: dict[str, str], finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
