"""llama.cpp's grammars (GBNF), read and written as the Lark that llguidance takes.

llguidance splits text into lexemes, and a lexeme is as long as it can be: a rule for blanks swallows the newline that
the next rule wants. GBNF has no lexemes. Therefore each character becomes a lexeme of its own here, which makes the
two exactly equal; llguidance's own converter joins rules into lexemes, and refuses what llama.cpp's own example for
arithmetic accepts. The price: a pass over 152k tokens takes 6 ms inside a string, where lexemes took 0.1.

Taken beyond llama.cpp: left recursion and underscores in names. Not taken: its references to tokens (`<think>`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn

RULES_MAX = 500
DEPTH_MAX = 40
"""Parentheses within each other. llguidance stops at some hundred, and uses the stack for them."""
CHOICES_MAX = 2000
"""Alternatives and repetitions of all rules: each may be open at once, and a token's cost grows with their square."""
REPEATS_MAX = 100_000
QUOTED_CHARACTERS = 30
"""How much of a name an error repeats."""

_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_REPEAT = re.compile(r"\{[ \t]*([0-9]{1,9})[ \t]*(?:(,)[ \t]*([0-9]{1,9})?[ \t]*)?\}")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([tnr\\\"\[\]]))")
_ESCAPES = r"\n \r \t \\ \" \[ \] \x00 \u0000 \U00000000"
_PLAIN_ESCAPES = {"t": "\t", "n": "\n", "r": "\r"}
_NOTHING = '""'
_ANY = r"/[\u{0}-\u{10FFFF}]/"
_LAST_CHARACTER = 0x10FFFF
_SURROGATES = 0xD800, 0xDFFF
"""Halves of UTF-16 pairs: no characters, and no place in a range of them."""


class GbnfError(ValueError):
    """The grammar cannot be used; the message says where and what to do."""


def to_lark(source: str, root: str) -> str:
    """Return the grammar as rules of Lark; the one named "root" there is called `root` here.

    Raises `GbnfError`. `root` must not be an r with a number: that is what the others are called.
    """
    return _Reader(source, {"root": root}).read()


@dataclass
class _Reader:
    """A recursive descent over the source; each method leaves `_at` behind what it has read."""

    source: str
    names: dict[str, str]
    """What each rule is called in Lark, where capital letters would mean a lexeme."""
    _at: int = 0
    _depth: int = 0
    _choices: int = 0
    _rules: dict[str, str] = field(default_factory=dict)
    _used: dict[str, int] = field(default_factory=dict)
    """Where each name was first referred to."""

    def read(self) -> str:
        self._skip(lines=True)
        while self._at < len(self.source):
            self._rule()
        for name, at in self._used.items():
            if name not in self._rules:
                self._fail(f'rule "{name[:QUOTED_CHARACTERS]}" is used but not defined', at)
        if "root" not in self._rules:
            self._fail('there is no rule "root", with which the answer begins')
        return "".join(f"{self._renamed(name)}: {body}\n" for name, body in self._rules.items())

    def _rule(self) -> None:
        name = self._name()
        self._skip(lines=False)
        if not self._take("::="):
            self._fail(f'"::=" must follow the name "{name[:QUOTED_CHARACTERS]}"')
        if len(self._rules) >= RULES_MAX:
            self._fail(f"it has more than {RULES_MAX} rules: simplify it")
        self._skip(lines=True)
        self._rules[name] = self._alternatives()
        if self._ahead() not in {"", "\r", "\n"}:
            self._fail(
                "this does not belong here: a rule ends with its line, unless in parentheses"
            )
        self._skip(lines=True)

    def _alternatives(self) -> str:
        branches = [self._sequence()]
        while self._take("|"):
            self._choose()
            self._skip(lines=True)
            branches.append(self._sequence())
        return " | ".join(branches)

    def _sequence(self) -> str:
        items: list[str] = []
        while (item := self._item()) is not None:
            self._skip(lines=self._depth > 0)
            items.append(self._repeated(item))
        return " ".join(items) or _NOTHING

    def _item(self) -> str | None:
        """Read a literal, a set, a group or a name; None where none begins."""
        if self._take('"'):
            return self._literal()
        if self._take("["):
            return self._set()
        if self._take("("):
            return self._group()
        if self._take("."):
            return _ANY
        if self._ahead() in {"<", "!"}:
            self._fail("references to tokens are not supported: write the token's text")
        return self._reference() if _NAME.match(self.source, self._at) else None

    def _literal(self) -> str:
        began = self._at - 1
        characters = []
        while not self._take('"'):
            characters.append(f"/{_code(self._character(began))}/")
        return (
            f"({' '.join(characters)})" if len(characters) > 1 else "".join(characters) or _NOTHING
        )

    def _set(self) -> str:
        began = self._at - 1
        negated = "^" if self._take("^") else ""
        ranges: list[str] = []
        while not self._take("]"):
            first = last = self._character(began)
            if self._ahead() == "-" and not self.source.startswith("-]", self._at):
                self._at += 1
                last = self._character(began)
            if last < first:
                self._fail("a range of characters ends before it begins", began)
            ranges += _ranges(first, last)
        if not ranges:
            self._fail("a set of no characters matches nothing", began)
        return f"/[{negated}{''.join(ranges)}]/"

    def _group(self) -> str:
        began = self._at - 1
        self._depth += 1
        if self._depth > DEPTH_MAX:
            self._fail(
                f"more than {DEPTH_MAX} parentheses within each other: give rules names", began
            )
        self._skip(lines=True)
        body = self._alternatives()
        if not self._take(")"):
            self._fail('this parenthesis has no ")"', began)
        self._depth -= 1
        return f"({body})"

    def _reference(self) -> str:
        at = self._at
        name = self._name()
        self._used.setdefault(name, at)
        return self._renamed(name)

    def _renamed(self, name: str) -> str:
        return self.names.setdefault(name, f"r{len(self.names)}")

    def _repeated(self, item: str) -> str:
        """Apply the `*`, `+`, `?` and `{m,n}` that follow an item."""
        whole = item
        while (times := self._times()) is not None:
            self._choose()
            whole = f"{item}{times}" if times else _NOTHING
            item = f"({whole})"
            self._skip(lines=self._depth > 0)
        return whole

    def _choose(self) -> None:
        self._choices += 1
        if self._choices > CHOICES_MAX:
            self._fail(f"more than {CHOICES_MAX} alternatives and repetitions: simplify it")

    def _times(self) -> str | None:
        """Read how often an item is wanted, in Lark's words: the empty word for never, None for what is not said."""
        mark = self._ahead()
        if mark and mark in "*+?":
            self._at += 1
            return mark
        return self._count() if mark == "{" else None

    def _count(self) -> str:
        found = _REPEAT.match(self.source, self._at)
        if found is None:
            self._fail("a repetition is written {3}, {3,} or {3,5}")
        least = int(found[1])
        most = int(found[3]) if found[3] else (None if found[2] else least)
        if max(least, most or 0) > REPEATS_MAX:
            self._fail(f"more than {REPEATS_MAX} repetitions")
        if most is not None and most < least:
            self._fail("a repetition's upper bound is below its lower one")
        self._at = found.end()
        return "" if most == 0 else f"{{{least},{'' if most is None else most}}}"

    def _character(self, began: int) -> int:
        """Read one character of the literal or set that began there, escaped or not."""
        at = self._at
        if at >= len(self.source):
            self._fail("this has no end", began)
        if self.source[at] != "\\":
            self._at += 1
            code = ord(self.source[at])
        else:
            code = self._escape()
        if code > _LAST_CHARACTER or _SURROGATES[0] <= code <= _SURROGATES[1]:
            self._fail("there is no such character", at)
        return code

    def _escape(self) -> int:
        found = _ESCAPE.match(self.source, self._at)
        if found is None:
            self._fail(f"unknown escape: there are {_ESCAPES}")
        self._at = found.end()
        digits = found[1] or found[2] or found[3]
        return int(digits, 16) if digits else ord(_PLAIN_ESCAPES.get(found[4], found[4]))

    def _name(self) -> str:
        found = _NAME.match(self.source, self._at)
        if found is None:
            self._fail("a rule's name is expected here")
        self._at = found.end()
        return found[0]

    def _ahead(self) -> str:
        """Return the next character, and nothing at the end."""
        return self.source[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        taken = self.source.startswith(text, self._at)
        self._at += len(text) * taken
        return taken

    def _skip(self, *, lines: bool) -> None:
        found = (_SPACE_AND_LINES if lines else _SPACE).match(self.source, self._at)
        assert found is not None, "no space is a match too"
        self._at = found.end()

    def _fail(self, what: str, at: int | None = None) -> NoReturn:
        at = self._at if at is None else at
        line = self.source.count("\n", 0, at) + 1
        column = at - self.source.rfind("\n", 0, at)
        raise GbnfError(f"line {line}, column {column}: {what}")


def _code(code: int) -> str:
    return f"\\u{{{code:X}}}"


def _ranges(first: int, last: int) -> list[str]:
    """Write a range for a regular expression, without the surrogates that may lie inside it."""
    below, above = _SURROGATES[0] - 1, _SURROGATES[1] + 1
    if first <= below and last >= above:
        return [*_ranges(first, below), *_ranges(above, last)]
    return [f"{_code(first)}-{_code(last)}"]
