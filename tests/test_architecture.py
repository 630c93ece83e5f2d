"""ARCHITECTURE.md stays true: every path and every name that it mentions exists."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
QUOTED = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))
PATHS = [
    q
    for q in QUOTED
    if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", q)
    and ("/" in q or q.endswith((".py", ".md")))
    and not q.startswith("textDocument/")
]
NAMES = [q for q in QUOTED if re.fullmatch(r"[A-Z][A-Za-z]+(\.[a-z_]+)?", q)]
FOLDERS = ("policies", "engines", "lsp", "daemon")


@functools.cache
def defined() -> set[str]:
    """Every class, function, method (as Class.method), enum member and type alias of the source."""
    names: set[str] = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    names.add(node.name)
                if isinstance(node, ast.ClassDef):
                    names |= {f"{node.name}.{member}" for member in members(node)}
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    names.add(node.target.id)
    return names


def members(node: ast.ClassDef) -> set[str]:
    return {
        child.name
        for child in node.body
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("path", PATHS)
def test_each_path_exists(path: str) -> None:
    assert any((base / path).exists() for base in (ROOT, *(ROOT / f for f in FOLDERS))), path


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_defined(name: str) -> None:
    assert name in defined(), name


def test_the_page_names_enough_to_be_checked() -> None:
    assert len(PATHS) > 30
    assert len(NAMES) > 15


def test_every_module_is_in_the_map() -> None:
    """A file that the map does not mention is one that a newcomer cannot place."""
    named = {Path(path).name for path in PATHS}
    mapped_folders = {path.rstrip("/") for path in PATHS if path.endswith("/")}
    missing = [
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if path.name not in named | {"__init__.py"}
        and not any(
            str(path.relative_to(ROOT)).startswith(f"{m}/") for m in mapped_folders if "/" in m
        )
    ]
    assert not missing, missing
