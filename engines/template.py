"""A chat template, run as what it is: a program from a stranger.

1. It runs in Jinja's immutable sandbox: no attribute that leads out, no change to what it is given.
2. It has a time, watched line by line, because loops inside loops have no other bound.
3. It has a size: what it writes is cut off at a limit, and arithmetic that makes much of little is refused. A
   template that finds another way to fill the memory ends its worker, and its request is poison (ENGINE.md 22).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from types import FrameType
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engines.engine import Message

TEMPLATE_CHARS_MAX = 200_000
RENDERED_CHARS_MAX = 4_000_000
RENDER_S_MAX = 2.0
NUMBER_BITS_MAX = 10_000


class ChatTemplateError(Exception):
    """The template refused, failed, or went over a limit; the message holds no text of the conversation."""


class ChatTemplate:
    """Renders conversations. `bos` and `eos` are how the model's own tokens are written."""

    def __init__(self, source: str, *, bos: str = "", eos: str = "") -> None:
        self._source = source
        self._given = {"bos_token": bos, "eos_token": eos, "tools": None}
        self._compiled: Template | None = None

    def render(self, messages: Sequence[Message], *, time_s_max: float = RENDER_S_MAX) -> str:
        """Return the prompt of a conversation, up to where the assistant answers."""
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            with _within(time_s_max):
                return self._write(turns)
        except ChatTemplateError:
            raise
        except Exception as error:  # whatever a stranger's program raises
            raise ChatTemplateError(
                f"the model's chat template refused: {type(error).__name__}"
            ) from error

    def _write(self, turns: list[dict[str, str]]) -> str:
        parts: list[str] = []
        chars = 0
        for part in self._template().generate(
            messages=turns, add_generation_prompt=True, **self._given
        ):
            parts.append(part)
            chars += len(part)
            if chars > RENDERED_CHARS_MAX:
                raise ChatTemplateError("the model's chat template writes too much")
        return "".join(parts)

    def _template(self) -> Template:
        """Compile at the first use, so that a bad template takes nothing but chat from its model."""
        if len(self._source) > TEMPLATE_CHARS_MAX:
            raise ChatTemplateError("the model's chat template is too long")
        self._compiled = self._compiled or _Sandbox().from_string(self._source)
        return self._compiled


class _Sandbox(ImmutableSandboxedEnvironment):
    """Rules 1 and 3."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        self.globals["raise_exception"] = _refuse

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute where the result is surely small."""
        match operator:
            case "**":
                large = not isinstance(right, int) or _bits(left) * abs(right) > NUMBER_BITS_MAX
            case "*":
                large = _product(left, right) > RENDERED_CHARS_MAX
            case "+":
                large = _length(left) + _length(right) > RENDERED_CHARS_MAX
            case _:
                large = isinstance(left, str)  # a format may ask for any width
        if large:
            raise OverflowError
        return super().call_binop(context, operator, left, right)


def _product(left: object, right: object) -> int:
    """Return the length of a repeated sequence, or the bits of a product."""
    if isinstance(left, int) and isinstance(right, int):
        return _bits(left) + _bits(right)
    pairs = ((left, right), (right, left))
    return max((_length(a) * b for a, b in pairs if isinstance(b, int)), default=0)


def _length(value: object) -> int:
    return len(value) if isinstance(value, Sized) else 0


def _bits(value: object) -> int:
    return value.bit_length() if isinstance(value, int) else 64


def _refuse(message: str) -> None:
    raise TemplateError(message)


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Rule 2: raise in this thread's template code when the time is over."""
    end = time.monotonic() + seconds

    def watch(frame: FrameType, _event: str, _argument: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename != "<template>":
            return None
        if time.monotonic() > end:
            raise ChatTemplateError("the model's chat template does not end")
        return watch

    former = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(former)
