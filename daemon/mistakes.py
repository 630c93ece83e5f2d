"""A mistake in the configuration as one message that names the file, the line, the key and the remedy."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_WORDS = {
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_type": "must be a text in quotes",
    "path_type": "must be a path in quotes",
    "tuple_type": "must be a list in [ ]",
    "missing": "is missing: add it",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "may have letters, digits, and _ . - only",
    "string_too_long": "must have at most {max_length} characters",
}


def explain(found: ValidationError, root: type[BaseModel], file: Path, text: str) -> str:
    """Every mistake in the file, one a line; the first is what a user reads."""
    lines = [_one(error, root, file, text) for error in found.errors(include_url=False)]
    return "\n".join(dict.fromkeys(lines))


def _one(error: ErrorDetails, root: type[BaseModel], file: Path, text: str) -> str:
    names = [part for part in error["loc"] if isinstance(part, str)]
    spot = f"{file}:{line}" if (line := _line_of(names, error["loc"], text)) else str(file)
    message = f"{spot}: {_place(error['loc'])}{_what(error, root, names)}"
    return message if message.endswith("?") else f"{message}."


def _what(error: ErrorDetails, root: type[BaseModel], names: list[str]) -> str:
    if error["type"] == "extra_forbidden":
        return f"no such key{_did_you_mean(names[-1], _known(root, names[:-1]))}"
    if error["type"] == "model_type":
        return "must be a section with keys of its own"
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    words = _WORDS.get(error["type"], error["msg"].lower())
    said = words.format(**error.get("ctx", {}))
    given = error["input"]
    return f"{said} (found {given!r})" if isinstance(given, str | int | float) else said


def _did_you_mean(wrong: str, known: list[str]) -> str:
    near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.5)
    return f'; did you mean "{near[0]}"?' if near else f"; there are {', '.join(known)}"


def _known(root: type[BaseModel], names: list[str]) -> list[str]:
    """The keys that the section has in which the unknown one stands."""
    section = root
    for name in names:
        annotation: Any = section.model_fields[name].annotation
        inner = [part for part in (annotation, *get_args(annotation)) if _is_section(part)]
        if not inner:
            break
        section = inner[0]
    return list(section.model_fields)


def _is_section(part: object) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _place(loc: tuple[int | str, ...]) -> str:
    """`("model", 1, "path")` as `[[model]] 2, path: `."""
    match loc:
        case ():
            return ""
        case (str(key),):
            return f"[{key}] "
        case (str(section), int(index), *rest):
            return f"[[{section}]] {index + 1}{_within(rest)}: "
        case (section, key, *_):
            return f"[{section}] {key}: "
        case _:
            return ""


def _within(rest: list[int | str]) -> str:
    """`["calls", 0, "weight"]` as `, calls 1, weight`."""
    match rest:
        case [str(key), int(index), *names]:
            inner = (f", {name}" for name in names if isinstance(name, str))
            return f", {key} {index + 1}{''.join(inner)}"
        case [key, *_]:
            return f", {key}"
        case _:
            return ""


def _line_of(names: list[str], loc: tuple[int | str, ...], text: str) -> int | None:
    """The line that sets the key: the n-th section of that name, then the key within it."""
    if not names:
        return None
    nth = next((part for part in loc if isinstance(part, int)), 0)
    inside, seen, header = len(names) == 1, -1, None
    for number, line in enumerate(text.splitlines(), start=1):
        if section := re.match(r"\s*\[\[?\s*([\w.\"-]+)\s*\]", line):
            seen += section[1] == names[0]
            inside = section[1] == names[0] and seen == nth
            header = number if inside else header
        elif inside and re.match(rf"\s*\"?{re.escape(names[-1])}\"?\s*=", line):
            return number
    return header
