"""Whether a text may stand at the cursor: the statement that it completes must still be one.

A filter for suggestions, not a parser: it reads from the last definition before the cursor to the end of the
statement under it, in well under a millisecond. Where it cannot tell, the text fits.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engines.lookup import CLOSING, OPENING, closers, openers

BEFORE_CHARS: Final = 8_000
AFTER_CHARS: Final = 3_000

_DEFINITION: Final = re.compile(r"^[ \t]*(?:async +def|def|class)\b", re.MULTILINE)
_PIECE: Final = re.compile(
    r"""(?P<string>'''(?:\\.|[^\\])*?'''|\"{3}(?:\\.|[^\\])*?\"{3})"""
    r"""|(?P<open>'''|\"{3})"""
    r"""|(?P<line_string>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")"""
    r"""|(?P<broken>['"])|(?P<comment>\#[^\n]*)|(?P<bracket>[][(){}])|(?P<joined>\\\r?\n)"""
    r"""|(?P<newline>\n)""",
    re.DOTALL,
)
_BLOCK_OF: Final = {  # what must stand before a clause for it to parse alone
    "elif": "if x:\n pass\n",
    "else": "if x:\n pass\n",
    "except": "try:\n pass\n",
    "finally": "try:\n pass\n",
    "case": "match x:\n ",
}


def fits(prefix: str, text: str, suffix: str, *, language: str) -> bool:
    """Return whether `text` between `prefix` and `suffix` leaves the code around it well formed."""
    if language == "python":
        return _fits_python(prefix, text, suffix)
    tail = suffix.partition("\n")[0]
    return closers(text + tail) <= openers(prefix[-BEFORE_CHARS:])


def _fits_python(prefix: str, text: str, suffix: str) -> bool:
    before = _since_definition(prefix)
    code = before + text + suffix[:AFTER_CHARS] + "\n"
    statement = _statement_at(code, len(before), len(before) + len(text))
    if statement is None:
        return False
    if not statement.is_code:
        return True
    return _parses(statement.text) and _agrees_with_next(statement, code[statement.end :])


def _since_definition(prefix: str) -> str:
    """Return the last part of `prefix` that certainly begins outside strings and brackets."""
    near = prefix[-BEFORE_CHARS:]
    starts = [match.start() for match in _DEFINITION.finditer(near)]
    return near[starts[-1] :] if starts else near


@dataclass(frozen=True, slots=True)
class _Statement:
    text: str
    end: int
    is_code: bool = (
        True  # not within a comment or a string of several lines, nor after what is unclear
    )


def _statement_at(code: str, begin: int, end: int) -> _Statement | None:
    """Return the statement that holds code[begin:end], or None where its brackets or quotes do not match."""
    start, stack = 0, ""
    for kind, at, piece in _pieces(code):
        is_prose = kind == "comment" or (kind == "string" and "\n" in piece)
        if at >= end and kind == "newline" and not stack:
            return _Statement(code[start:at], at)
        if is_prose and at <= begin and at + len(piece) >= end:
            return _Statement(code[start:at], at, is_code=at == begin)
        if kind == "newline" and not stack:
            start = at + 1
        elif kind == "bracket" and piece in OPENING:
            stack += piece
        elif kind == "bracket" and stack and OPENING[CLOSING.index(piece)] == stack[-1]:
            stack = stack[:-1]
        elif kind in ("bracket", "open", "broken"):
            is_above = _line_end(code, at) < begin  # then it is not the text's fault
            return _Statement("", end, is_code=False) if is_above else None
    return None


def _pieces(code: str) -> Iterator[tuple[str, int, str]]:
    for match in _PIECE.finditer(code):
        yield str(match.lastgroup), match.start(), match.group()


def _line_end(code: str, at: int) -> int:
    newline = code.find("\n", at)
    return len(code) if newline < 0 else newline


def _parses(statement: str) -> bool:
    source = statement.strip()
    first_word = re.match(r"\w*", source)
    if source.endswith(":"):
        source += "\n  pass"
    elif source.startswith("@"):
        source += "\ndef f(): pass"
    if first_word:
        source = _BLOCK_OF.get(first_word.group(), "") + source
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _agrees_with_next(statement: _Statement, rest: str) -> bool:
    """Return whether the next line is indented as a header, or a plain statement, asks for."""
    following = rest.lstrip("\r\n \t")
    if not following or not statement.text.strip():
        return True
    blank = rest[: len(rest) - len(following)]
    indent = len(blank) - blank.rfind("\n") - 1
    own = len(statement.text) - len(statement.text.lstrip())
    if following[0] in CLOSING:
        return False  # a bracket that the statement has closed already
    if following.startswith("#"):
        return True
    is_header = statement.text.rstrip().endswith(":")
    return indent > own if is_header else indent <= own
