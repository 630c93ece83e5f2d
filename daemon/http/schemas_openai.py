"""Bodies of OpenAI's endpoints, with the fields that llama.cpp's clients add to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from daemon.http.schemas import Count, FewStops, Generation, Lenient, Tops
from daemon.http.schemas_llamacpp import OneString
from engines.engine import Message

MESSAGES_MAX = 1024
PARTS_MAX = 256


class StreamOptions(Lenient):
    """What a stream says beside text."""

    include_usage: bool = False


class OpenAiBody(Generation):
    """What both endpoints take; one choice is given."""

    n: int = 1
    stop: FewStops = ()
    stream_options: StreamOptions = StreamOptions()

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.n != 1:
            raise ValueError("n: only 1 is supported")
        return self


def _none_if_false(value: Any) -> Any:
    """Some clients send what belongs to conversations, where `logprobs` is yes or no."""
    return None if value is False else value


class TextBody(OpenAiBody):
    """`/v1/completions`. With a `suffix`, even an empty one, the middle is filled in."""

    prompt: OneString
    suffix: str | None = None
    echo: bool = False
    best_of: int = 1
    logprobs: Annotated[Tops | None, BeforeValidator(_none_if_false)] = None

    @model_validator(mode="after")
    def _no_relics(self) -> Self:
        if self.echo or self.best_of != 1:
            raise ValueError("echo and best_of are not supported: leave them out")
        return self

    @property
    def tops(self) -> int | None:
        """0 asks for the chosen tokens alone."""
        return self.logprobs


def _joined(value: Any) -> Any:
    """Text parts as one text."""
    if not isinstance(value, list):
        return value
    if len(value) > PARTS_MAX:
        raise ValueError(f"more than {PARTS_MAX} parts")
    texts = [part.get("text") for part in value if _is_text(part)]
    if len(texts) != len(value):
        raise ValueError("only text parts are supported")
    return "\n".join(texts)


def _is_text(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and part.get("type", "text") == "text"
        and isinstance(part.get("text"), str)
    )


class Turn(Lenient):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, BeforeValidator(_joined)] = ""


class ChatBody(OpenAiBody):
    """`/v1/chat/completions`."""

    messages: Annotated[tuple[Turn, ...], Field(min_length=1, max_length=MESSAGES_MAX)]
    max_completion_tokens: Count | None = None
    logprobs: bool = False
    top_logprobs: Tops = 0
    tools: Any = None
    tool_choice: Any = None
    functions: Any = None

    @model_validator(mode="after")
    def _tops_of_scores(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true beside it")
        return self

    @model_validator(mode="after")
    def _no_tools(self) -> Self:
        if (self.tools or self.functions) and self.tool_choice != "none":
            raise ValueError("tools are not supported yet: send none, or tool_choice 'none'")
        return self

    @property
    def tops(self) -> int | None:
        """0 beside `logprobs` asks for the chosen tokens alone."""
        return self.top_logprobs if self.logprobs else None

    @property
    def wished_tokens(self) -> int | None:
        """OpenAI's newer name of the limit goes before the older ones."""
        newer = self.max_completion_tokens
        return newer if newer is not None else super().wished_tokens

    def turns(self) -> tuple[Message, ...]:
        """The conversation; `developer` is what newer clients call `system`."""
        return tuple(
            Message("system" if turn.role == "developer" else turn.role, turn.content)
            for turn in self.messages
        )
