"""Imports point one way, one place knows each foreign library, and files stay one idea long."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("policies", "engines", "lsp", "daemon")
FILES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "train" not in path.parts
)
LINES_MAX = 400

OURS = {
    "policies": {"policies"},
    "engines": {"engines", "policies"},
    "lsp": {"lsp", "policies"},
    "daemon": {"daemon", "lsp", "engines", "policies"},
}
"""What each package may import of ours."""

PURE = {
    "__future__",
    "bisect",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "heapq",
    "itertools",
    "math",
    "operator",
    "statistics",
    "typing",
}
"""The part of the standard library that `policies` may import: no clock, no chance, no input, no output."""

KNOWN_BY = {
    "llama_cpp": ("engines/llama.py",),
    "llguidance": ("engines/constraint.py",),
    "pygls": ("lsp/",),
    "lsprotocol": ("lsp/",),
    "fastapi": ("daemon/http/",),
    "uvicorn": ("daemon/http/",),
    "starlette": ("daemon/http/",),
    "pydantic": ("daemon/http/", "daemon/config.py", "daemon/mistakes.py"),
    "pydantic_core": ("daemon/http/", "daemon/config.py", "daemon/mistakes.py"),
    "typer": ("daemon/cli/",),
    "matplotlib": ("daemon/bench/plot.py",),
}
"""The files (or folders) that may import each foreign library."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    """The top names a file imports anywhere, functions and type checks included."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    """policies <- (engines, lsp) <- daemon."""
    package = name_of(path).partition("/")[0]
    theirs = {name for name in imports(path) if name in {*PACKAGES, "tests"}}
    assert theirs <= OURS[package]


@pytest.mark.parametrize("path", [p for p in FILES if "policies" in p.parts], ids=name_of)
def test_policies_are_pure(path: Path) -> None:
    """What they import can neither look at the world nor change it."""
    assert set(imports(path)) <= PURE | {"policies"}
    assert sys.stdlib_module_names >= PURE


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_one_place_knows_each_library(path: Path) -> None:
    """So that one place changes when it does."""
    strangers = [
        name for name in imports(path) if not name_of(path).startswith(KNOWN_BY.get(name, ("",)))
    ]
    assert strangers == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_says_what_it_is_and_is_one_idea_long(path: Path) -> None:
    """Folded, a file is its own summary."""
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= LINES_MAX


def test_nothing_waits_for_a_lock() -> None:
    """One writer per piece of state: policies, lsp and daemon have none to take."""
    locked = [
        f"{name_of(path)}:{node.lineno}"
        for path in FILES
        if "engines" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute | ast.Name)
        and (node.attr if isinstance(node, ast.Attribute) else node.id)
        in {"Lock", "RLock", "Semaphore"}
    ]
    assert locked == []
