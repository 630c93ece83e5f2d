"""OpenAI's answers, whole and streamed: one object for texts, one for conversations. Both are `Voice`s."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

from daemon.http.native_answers import select, timings_of
from daemon.http.sse import DONE, event
from daemon.tickets import Piece, Result
from engines.engine import Timings


@dataclass(frozen=True, slots=True)
class Heading:
    """What every document of one answer begins with, and what the client wants beside the text."""

    number: int
    model: str
    include_usage: bool
    response_fields: tuple[str, ...]
    created: int = field(default_factory=lambda: int(time.time()))


class _Answer:
    """What both kinds have in common."""

    prefix: ClassVar[str]

    def __init__(self, heading: Heading) -> None:
        self._heading = heading

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

    def _usage(self, kind: str, result: Result) -> bytes:
        """The event with no choice that says what it cost, for those who asked."""
        if not self._heading.include_usage:
            return b""
        return event(self._document(kind, [], usage=usage_of(result.timings)))


class TextAnswer(_Answer):
    """`/v1/completions`."""

    prefix = "cmpl"

    def whole(self, result: Result) -> dict[str, Any]:
        """The answer in one piece."""
        spent = result.timings
        choice = _text_choice(result.text, finish_reason(result))
        return select(
            self._document(
                "text_completion", [choice], usage=usage_of(spent), timings=timings_of(spent)
            ),
            self._heading.response_fields,
        )

    def opening(self) -> bytes:
        """Nothing comes before text."""
        return b""

    def piece(self, piece: Piece) -> bytes:
        """One event of text."""
        return event(self._document("text_completion", [_text_choice(piece.text, None)]))

    def closing(self, result: Result) -> bytes:
        """Why it ended, what it cost, and the end of the stream."""
        last = self._document(
            "text_completion",
            [_text_choice("", finish_reason(result))],
            timings=timings_of(result.timings),
        )
        return event(last) + self._usage("text_completion", result) + DONE


class ChatAnswer(_Answer):
    """`/v1/chat/completions`."""

    prefix = "chatcmpl"

    def whole(self, result: Result) -> dict[str, Any]:
        """The answer in one piece."""
        spent = result.timings
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": result.text},
            "logprobs": None,
            "finish_reason": finish_reason(result),
        }
        return select(
            self._document(
                "chat.completion", [choice], usage=usage_of(spent), timings=timings_of(spent)
            ),
            self._heading.response_fields,
        )

    def opening(self) -> bytes:
        """Who speaks."""
        return self._delta({"role": "assistant", "content": ""}, None)

    def piece(self, piece: Piece) -> bytes:
        """One event of text."""
        return self._delta({"content": piece.text}, None)

    def closing(self, result: Result) -> bytes:
        """Why it ended, what it cost, and the end of the stream."""
        last = self._delta({}, finish_reason(result), timings=timings_of(result.timings))
        return last + self._usage("chat.completion.chunk", result) + DONE

    def _delta(self, delta: dict[str, str], finish: str | None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(self._document("chat.completion.chunk", [choice], **more))


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
