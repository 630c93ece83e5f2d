"""The golden files: a document with the cursor marked, a model's text, and what becomes of it.

`golden/<filter>` shows one filter; `ghost` and `menu` show the whole way to the accepted document.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsp.shaping import GHOST, MENU, shape
from lsp.shaping.place import Place
from lsp.shaping.replaced import replaced, replaced_in_menu

MARK = "\N{CARET}"
GOLDEN = Path(__file__).parent / "golden"
FILTERS = {filter_.__name__: filter_ for filter_ in GHOST + MENU}
CODE = st.text(alphabet="ab1 \n\t()[]{}\"'`\\:;,.=", max_size=40)


def cases(*folders):
    paths = [path for folder in folders for path in sorted((GOLDEN / folder).glob("*.toml"))]
    return pytest.mark.parametrize(
        "path", paths, ids=lambda path: f"{path.parent.name}-{path.stem}"
    )


def read(path):
    case = tomllib.loads(path.read_text("utf-8"))
    prefix, mark, suffix = case["document"].partition(MARK)
    assert mark, f"{path} has no cursor"
    return case, Place(prefix, suffix, case["language"])


def accept(place, edit):
    """The document after an editor has taken the edit, with the cursor behind it."""
    kept = place.prefix[: len(place.prefix) - edit.before]
    assert edit.text.startswith(place.prefix[len(kept) :])
    return kept + edit.text + MARK + place.suffix[edit.after :]


@cases(*FILTERS)
def test_filter(path):
    case, place = read(path)
    assert FILTERS[path.parent.name](case["text"], place) == case["shaped"]


@cases("replaced")
def test_replaced(path):
    case, place = read(path)
    assert accept(place, replaced(case["text"], place)) == case["accepted"]


@cases("ghost")
def test_ghost(path):
    case, place = read(path)
    text = shape(case["text"], place)
    accepted = accept(place, replaced(text, place)) if text else case["document"]
    assert accepted == case["accepted"]


@cases("menu")
def test_menu(path):
    case, place = read(path)
    text = shape(case["text"], place, MENU)
    accepted = accept(place, replaced_in_menu(text, place)) if text else case["document"]
    assert accepted == case["accepted"]


def test_every_filter_has_golden_files():
    assert all(len(list((GOLDEN / name).glob("*.toml"))) >= 5 for name in FILTERS)


@given(CODE, CODE, CODE)
def test_an_edit_never_leaves_the_line_and_keeps_what_is_before_the_cursor(prefix, suffix, text):
    place = Place(prefix, suffix)
    for edit in (replaced(text, place), replaced_in_menu(text, place)):
        assert edit.before <= len(place.before)
        assert edit.after <= len(place.rest)
        accept(place, edit)


@given(CODE, CODE, CODE, st.sampled_from([GHOST, MENU]))
def test_shaping_twice_is_shaping_once(prefix, suffix, text, filters):
    """A suggestion that is typed through keeps its shape."""
    place = Place(prefix, suffix)
    shaped = shape(text, place, filters)
    assert shape(shaped, place, filters) == shaped
    assert not shaped.endswith("\n")
