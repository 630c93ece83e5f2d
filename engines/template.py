"""A chat template, run as what it is: a program from a stranger.

1. It runs in Jinja's immutable sandbox: no attribute that leads out, no change to what it is given.
2. It has a time, watched line by line, because loops inside loops have no other bound.
3. It has a size: what it writes is cut off at a limit, what makes much of little is refused, and every value that it
   builds of others is weighed when it is made. A template that finds another way to fill the memory ends its
   worker, and its request is poison (ENGINE.md 22).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from functools import wraps
from inspect import CO_GENERATOR
from pathlib import Path
from types import FrameType
from typing import Any

import jinja2
from jinja2 import Template, TemplateError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from engines.engine import Message

TEMPLATE_CHARS_MAX = 200_000
RENDERED_CHARS_MAX = 4_000_000
RENDER_S_MAX = 2.0
NUMBER_BITS_MAX = 10_000
ITEMS_MAX = 100_000
"""Of one value, whatever is inside it counted as often as it is mentioned."""
WIDTH_MAX = 20
"""Blanks before a line, or digits behind a point."""
WIDTH_FILTERS = frozenset({"indent", "round", "tojson"})
GROWING_FILTERS = frozenset(
    {"batch", "center", "format", "pprint", "random", "slice", "urlize", "wordwrap", "xmlattr"}
)
GROWING_METHODS = frozenset(
    {"center", "encode", "expandtabs", "format", "format_map", "ljust", "rjust", "to_bytes", "translate", "zfill"}
)  # fmt: skip
"""They make much of little, and no published template needs them."""

_JINJA = str(Path(jinja2.__file__).parent)


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
        except _OverTimeError:
            raise ChatTemplateError("the model's chat template does not end") from None
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


class _Code(CodeGenerator):
    """Values that a template builds of others are weighed as they are made: doubled often enough, small ones are huge."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 -- Jinja's name
        self.write("environment.joined(")
        super().visit_List(nodes.List(node.nodes), frame)
        self.write(")")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802
        self.write("environment.weighed(")
        super().visit_List(node, frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802
        self.write("environment.weighed(")
        super().visit_Dict(node, frame)
        self.write(")")

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: N802
        if node.ctx != "load":  # names that are assigned to
            super().visit_Tuple(node, frame)
            return
        self.write("environment.weighed(")
        super().visit_Tuple(node, frame)
        self.write(")")


class _Sandbox(ImmutableSandboxedEnvironment):
    """Rules 1 and 3."""

    code_generator_class = _Code
    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols"],
            finalize=_weighed,
        )
        self.globals["raise_exception"] = _refuse
        del self.globals["lipsum"]
        self.filters = {
            name: _guarded(name, work)
            for name, work in self.filters.items()
            if name not in GROWING_FILTERS
        }

    @staticmethod
    def weighed(value: Any) -> Any:
        """Return a list, tuple or dictionary that the template wrote."""
        return _weighed(value)

    @staticmethod
    def joined(values: list[object]) -> str:
        """Write values one behind the other (`~`)."""
        return "".join(map(str, _weighed(values)))

    @staticmethod
    def concat(parts: Iterable[str]) -> str:
        """Join what a macro or a block has written."""
        return "".join(_limited(parts))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Rule 3, for methods of text and numbers."""
        grows = isinstance(obj, str | bytes | int) and attr in GROWING_METHODS
        return not grows and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: ARG002 -- Jinja's signature
        """Formats are refused with the other methods that grow, not wrapped."""
        return None

    def call(self, context: Context, /, obj: Any, *args: Any, **named: Any) -> Any:
        """Call what results in something that is surely small."""
        text, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(text, str):
            _measure(name, text, args)
        return _weighed(super().call(context, obj, *args, **named))

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
        return _weighed(super().call_binop(context, operator, left, right))


def _guarded(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter that takes and returns what is surely small."""

    @wraps(work)
    def guarded(*args: Any, **named: Any) -> Any:
        given = [*args, *named.values()]
        _weighed(given)
        if name in WIDTH_FILTERS and any(_width(value) > WIDTH_MAX for value in given[1:]):
            raise OverflowError
        texts = [str(value) for value in given if isinstance(value, str)]
        if name == "replace":
            _measure(name, texts[0] if texts else "", tuple(texts[1:]))
        if name == "join":
            items = next((value for value in args if isinstance(value, Sized)), ())
            if len(items) * max(map(len, texts), default=0) > RENDERED_CHARS_MAX:
                raise OverflowError
        return _weighed(work(*args, **named))

    return guarded


def _measure(name: str, text: str, args: tuple[Any, ...]) -> None:
    """Compute the size that a method of a text would return. OverflowError where it is too large."""
    chars = 0
    if name == "replace" and len(args) > 1 and all(isinstance(part, str) for part in args[:2]):
        chars = len(text) + text.count(args[0]) * len(args[1])
    if name == "join" and args:
        chars = len(text) * _length(args[0])
    if chars > RENDERED_CHARS_MAX:
        raise OverflowError


def _weighed(value: Any) -> Any:
    """Return the value. OverflowError where it is too much, with everything inside it counted at each mention."""
    items, chars, waiting = 0, 0, [value]
    while waiting:
        one = waiting.pop()
        items += 1
        if isinstance(one, str | bytes):
            chars += len(one)
        elif isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, Namespace):
            waiting.append(one._Namespace__attrs)  # noqa: SLF001 -- it has no other way
        elif isinstance(one, dict):
            waiting += one.keys()
            waiting += one.values()
        if items + len(waiting) > ITEMS_MAX or chars > RENDERED_CHARS_MAX:
            raise OverflowError
    return value


def _limited(parts: Iterable[str]) -> Iterator[str]:
    chars = 0
    for part in parts:
        chars += len(part)
        if chars > RENDERED_CHARS_MAX:
            raise OverflowError
        yield part


def _width(value: object) -> int:
    """Return how many blanks an argument asks for."""
    return abs(value) if isinstance(value, int) else _length(value)


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


class _OverTimeError(BaseException):
    """Nothing on the way out of a template catches it: Jinja catches every `Exception` of some calls."""


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Rule 2: raise in this thread's template code, or in Jinja as it compiles that, when the time is over.

    Generators are called to be closed, too; what is raised then is lost, and the watch with it: they wait for a line.
    """
    end = time.monotonic() + seconds

    def watch(frame: FrameType, event: str, _argument: object) -> Callable[..., Any] | None:
        code = frame.f_code
        ours = code.co_filename == "<template>"
        if not ours and not code.co_filename.startswith(_JINJA):
            return None
        due = event == "line" or (event == "call" and not code.co_flags & CO_GENERATOR)
        if due and time.monotonic() > end:
            raise _OverTimeError
        return watch if ours else None

    former = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(former)
