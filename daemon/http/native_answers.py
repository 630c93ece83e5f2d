"""llama-server's own answer, whole and streamed. Editors read these fields without asking whether they are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daemon.http.endings import nothing_to_show
from daemon.http.scores import native_scores
from daemon.http.sse import Pattern, event
from daemon.tickets import Ask, Piece, Result
from engines.engine import Timings


def _text(content: str) -> dict[str, Any]:
    return {"index": 0, "content": content, "tokens": [], "stop": False, "id_slot": -1}


_TEXT = Pattern(_text)


@dataclass(frozen=True, slots=True)
class NativeAnswer:
    """The answer to one request, as far as it is known before its end. It is a `Voice` too."""

    ask: Ask
    prompt: str
    response_fields: tuple[str, ...]
    context_tokens: Callable[[str], int]

    def whole(self, result: Result) -> dict[str, Any]:
        """The answer in one piece, cut down to the fields that were asked for."""
        document = self._document(result, result.text)
        if self.ask.tops is not None:
            document["completion_probabilities"] = native_scores(result.scores)
        return select(document, self.response_fields)

    def opening(self) -> bytes:
        """Nothing: text is the first that this protocol says."""
        return b""

    def piece(self, piece: Piece) -> bytes:
        """One event of text, with the scores of its tokens where those were asked for."""
        if piece.scores:
            scores = {"completion_probabilities": native_scores(piece.scores)}
            return event(_text(piece.text) | scores)
        return _TEXT.filled(piece.text) if piece.text else b""

    def closing(self, result: Result) -> bytes:
        """Everything but the text and its scores, which have been sent."""
        return event(select(self._document(result, ""), self.response_fields))

    def _document(self, result: Result, content: str) -> dict[str, Any]:
        spent = result.timings
        return {
            "index": 0,
            "content": content,
            "tokens": [],
            "id_slot": -1,
            "stop": True,
            "model": result.model,
            "tokens_predicted": spent.emitted_tokens,
            "tokens_evaluated": spent.prompt_tokens,
            "generation_settings": generation_settings(self.ask, self.context_tokens(result.model)),
            "prompt": self.prompt,
            "has_new_line": "\n" in result.text,
            "truncated": False,
            "stop_type": result.stop.kind if result.stop else "none",
            "stopping_word": result.stop.word if result.stop else "",
            "tokens_cached": spent.prompt_tokens + spent.emitted_tokens,
            "timings": timings_of(spent),
        }


class InfillAnswer(NativeAnswer):
    """The answer to an `/infill`, which may be that there is none."""

    __slots__ = ()

    def whole(self, result: Result) -> dict[str, Any]:
        """The answer in one piece, or an empty object."""
        return {} if nothing_to_show(self.ask, result) else super().whole(result)


def generation_settings(ask: Ask, context_tokens: int) -> dict[str, Any]:
    """How the text was generated, in llama-server's names."""
    sampling = ask.sampling
    return {
        "n_ctx": context_tokens,
        "n_predict": ask.tokens_max,
        "stop": list(ask.stops),
        "seed": sampling.seed,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_last_n": sampling.penalty_tokens,
        "repeat_penalty": sampling.repeat_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "ignore_eos": sampling.ignore_eos,
        "n_probs": ask.tops or 0,
    }


def timings_of(spent: Timings) -> dict[str, float]:
    """Costs as llama-server names them; always numbers, because status lines format them unseen."""
    evaluated = max(spent.prompt_tokens - spent.cached_tokens, 0)
    return {
        "cache_n": spent.cached_tokens,
        "prompt_n": evaluated,
        "prompt_ms": round(spent.prompt_ms, 3),
        "prompt_per_token_ms": _ratio(spent.prompt_ms, evaluated),
        "prompt_per_second": _ratio(evaluated * 1000, spent.prompt_ms),
        "predicted_n": spent.emitted_tokens,
        "predicted_ms": round(spent.predict_ms, 3),
        "predicted_per_token_ms": _ratio(spent.predict_ms, spent.emitted_tokens),
        "predicted_per_second": _ratio(spent.emitted_tokens * 1000, spent.predict_ms),
    }


def select(document: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """The named fields, flat, slashes kept in their names; unknown ones are left out. No names: everything."""
    if not fields:
        return document
    found = ((name, _dig(document, name.split("/"))) for name in fields)
    return {name: value for name, value in found if value is not None}


def _dig(value: Any, path: list[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _ratio(dividend: float, divisor: float) -> float:
    return round(dividend / divisor, 3) if divisor > 0 else 0.0
