"""Other open documents reach the model: which pages, how much of them, for how long, and never those that may not."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.config import EMBEDDED_NAME
from daemon.fim_window import FILES_CHARS_MAX, Spare
from daemon.neighbours import DOCUMENTS_MAX, PAGE_LINES, STAY_LINES, Neighbours
from daemon.snapshot import ModelSnapshot
from engines.engine import Loaded, Usage
from engines.fake_knobs import Knobs, steady
from lsp.assistant import Query, Related
from policies.view import Phase
from tests.daemon.world import CODER, ready, run, world

CART = """\
from shop.stock import Warehouse, reserve_items

def check_out(basket, customer):
    warehouse = Warehouse.nearest(customer.address)
    reservation = """
STOCK = '''\
class Warehouse:
    """Where items lie."""

    def nearest(address): ...

def reserve_items(warehouse, basket, customer): ...
'''
POETRY = "shall compare thee summer day\nthou art more lovely temperate\n" * 8
QUERY = Query("ed", "file:///w/shop/cart.py", "/w/shop/cart.py", "python", 1, 5, CART, "\n")


def related(path: str, text: str) -> Related:
    return Related(path, "python", text)


def asking(*others: Related, **changed: object) -> Query:
    return replace(QUERY, related=others, **changed)


def texts(beside) -> list[str]:
    return [chunk.text for chunk in beside.chunks]


def filler(name: str, lines: int) -> str:
    return "".join(f"{name}_{n} = {name}_{n + 1}\n" for n in range(lines))


# --- which pages ----------------------------------------------------------------------------------------


def test_the_page_that_shares_names_with_the_cursors_place_is_chosen():
    others = (related("/w/shop/poem.py", POETRY), related("/w/shop/stock.py", STOCK))
    assert texts(Neighbours().beside(asking(*others), 4_000)) == [STOCK]


def test_a_page_is_found_anywhere_in_a_document_and_comes_alone():
    around = filler("padding", 2 * PAGE_LINES)
    text = around + STOCK + filler("more", PAGE_LINES)
    chunks = Neighbours().beside(asking(related("/w/shop/stock.py", text)), 4_000).chunks
    assert len(chunks) == 1
    assert STOCK in chunks[0].text
    assert chunks[0].text.count("\n") == PAGE_LINES


def test_the_most_alike_comes_last_and_of_equals_the_one_used_last():
    some = "def check_out(basket): ...\n"
    others = [related(f"/w/{n}.py", text) for n, text in enumerate((some, STOCK, some))]
    chunks = Neighbours().beside(asking(*others), 4_000).chunks
    assert [chunk.filename for chunk in chunks] == ["2.py", "0.py", "1.py"]


def test_no_more_is_given_than_there_are_characters_for():
    others = [related(f"/w/{n}.py", STOCK + f"# {n}\n") for n in range(4)]
    room = 2 * len(others[0].text) + 10
    for chars_max, expected in ((room, 2), (room // 2, 1), (10, 0), (0, 0)):
        assert len(Neighbours().beside(asking(*others), chars_max).chunks) == expected


def test_files_are_named_from_the_repository_on(tmp_path: Path):
    """Outside of one, from the document's folder on; what lies elsewhere by its name alone."""
    root = tmp_path / "shop"
    (root / "lib" / "deep").mkdir(parents=True)
    own, near = str(root / "lib" / "cart.py"), str(root / "lib" / "deep" / "stock.py")
    query = asking(related(near, STOCK), related("/else/where.py", STOCK), path=own)
    beside = Neighbours().beside(query, 4_000)
    assert (beside.repository, beside.filename) == ("lib", "cart.py")
    (root / ".git").mkdir()
    beside = Neighbours().beside(query, 4_000)
    assert (beside.repository, beside.filename) == ("shop", "lib/cart.py")
    assert [chunk.filename for chunk in beside.chunks] == ["where.py", "lib/deep/stock.py"]
    unsaved = Neighbours().beside(replace(query, path="untitled:Untitled-1"), 4_000)
    assert unsaved.filename == "untitled:Untitled-1"


# --- for how long ---------------------------------------------------------------------------------------


def test_the_choice_stays_while_one_types():
    """Whatever is typed: other names make other pages better, and each change would cost the whole cached prompt."""
    neighbours = Neighbours()
    others = (related("/w/poem.py", POETRY), related("/w/stock.py", STOCK))
    first = neighbours.beside(asking(*others), 4_000)
    prefix = CART
    for n, word in enumerate(POETRY.split()):
        prefix += f"{word}\n" if n % 3 == 0 else word
        line = QUERY.line + min(n // 3, STAY_LINES)
        typed = asking(*others, prefix=prefix, line=line, version=n, popup=n % 2 == 0)
        assert neighbours.beside(typed, 4_000) is first


def test_far_from_where_it_was_made_a_better_choice_replaces_it():
    neighbours = Neighbours()
    others = (related("/w/poem.py", POETRY), related("/w/stock.py", STOCK))
    neighbours.beside(asking(*others), 4_000)
    far = asking(*others, prefix=CART + "\n" + POETRY * 4, line=QUERY.line + STAY_LINES + 1)
    assert texts(neighbours.beside(far, 4_000)) == [POETRY]


def test_a_choice_that_is_nearly_as_good_stays_everywhere():
    """Two pages of which now the one, now the other is a little better do not take turns."""
    neighbours = Neighbours()
    others = (related("/w/a.py", STOCK + "alpha\n"), related("/w/b.py", STOCK + "omega\n"))
    chars = len(STOCK) + 10
    chosen = [
        neighbours.beside(asking(*others, prefix=f"{CART}\n{word}", line=n * 100), chars).chunks
        for n, word in enumerate(["alpha", "omega", "alpha"])
    ]
    assert len(set(chosen)) == 1


def test_a_document_that_changed_or_closed_is_not_remembered():
    neighbours = Neighbours()
    stock, changed = related("/w/stock.py", STOCK), related("/w/stock.py", "# moved\n" + STOCK)
    assert texts(neighbours.beside(asking(stock), 4_000)) == [STOCK]
    assert texts(neighbours.beside(asking(changed), 4_000)) == ["# moved\n" + STOCK]
    poem = related("/w/poem.py", POETRY)
    assert texts(neighbours.beside(asking(poem), 4_000)) == []
    assert texts(neighbours.beside(asking(), 4_000)) == []


def test_choices_are_few_and_go_with_their_editor():
    neighbours = Neighbours()
    stock = related("/w/stock.py", STOCK)
    queries = [asking(stock, uri=f"file:///{n}") for n in range(DOCUMENTS_MAX + 1)]
    made = [neighbours.beside(query, 4_000) for query in queries]
    assert neighbours.beside(queries[-1], 4_000) is made[-1]
    assert neighbours.beside(queries[0], 4_000) is not made[0]
    neighbours.forget("ed")
    assert neighbours.beside(queries[-1], 4_000) is not made[-1]


# --- how much -------------------------------------------------------------------------------------------

LOADED = Loaded("cpu", 4, 8_192, 0.1, 0, fim=True, chat=False)
MODEL = ModelSnapshot(
    "coder", "", (), (), Phase.READY, None, "", LOADED, Usage(), 0, 0.0, 0.0, 0
)  # fmt: skip


def chars(speed: float, *, context: int = 16_384) -> int:
    loaded = Loaded("cpu", 4, context, 0.1, 0, fim=True, chat=False)
    return Spare().chars(replace(MODEL, loaded=loaded, prefill_tokens_per_s=speed))


def test_a_processor_reads_no_other_files_and_a_graphics_card_thousands_of_characters():
    """Only as much as is read in half the time that the first token is promised in; nothing before it is measured."""
    assert [chars(speed) for speed in (0.0, 60.0, 220.0, 1_000.0)] == [0, 0, 0, 0]
    assert [chars(speed) for speed in (2_500.0, 9_000.0, 1e6)] == [1_000, 4_000, FILES_CHARS_MAX]


def test_other_files_get_only_context_that_the_document_leaves():
    assert [chars(1e6, context=n) for n in (2_048, 4_096, 8_192)] == [0, 0, 4_000]
    assert chars(2_500.0, context=4_096) == 1_000, "a slower model reads less of the document, too"


def test_files_do_not_come_and_go_with_how_much_was_cached():
    """A step of few tokens looks slow: the fastest counts, until the model is loaded anew."""
    spare = Spare()
    fast, slow = (replace(MODEL, prefill_tokens_per_s=speed) for speed in (9_000.0, 300.0))
    assert [spare.chars(model) for model in (fast, slow)] == [4_000, 4_000]
    again = replace(slow, loaded=Loaded("cpu", 4, 8_192, 0.2, 0, fim=True, chat=False))
    assert spare.chars(again) == 0
    assert spare.chars(replace(slow, loaded=None)) == 0


# --- through the assistant ------------------------------------------------------------------------------


async def asked_twice(here, query):
    """The prompts before and after the model's speed is known."""
    numbers = itertools.count()

    async def ask():
        await here.assistant.complete(replace(query, invoked=True, uri=f"file:///{next(numbers)}"))
        return here.jobs[-1].prompt

    await ready(here)
    first = await ask()
    told = asyncio.Event()
    unwatch = here.assistant.watch(lambda _: told.set())
    here.assistant.opened("ed", "python")
    await told.wait()
    unwatch()
    return first, await ask()


@pytest.mark.parametrize(("speed", "given"), [(20_000.0, [STOCK]), (200.0, [])])
def test_a_model_that_reads_fast_is_given_other_documents(speed, given):
    async def scenario():
        knobs = Knobs(step_s=steady(prefill_tokens_per_s=speed, tokens_per_s=10_000))
        async with world(knobs=knobs) as here:
            first, second = await asked_twice(here, asking(related("/w/shop/stock.py", STOCK)))
            assert first.chunks == ()
            assert texts(second) == given
            assert second.filename == ("cart.py" if given else "")

    run(scenario)


def test_the_embedded_model_is_given_none():
    async def scenario():
        async with world(view=replace(CODER, name=EMBEDDED_NAME)) as here:
            prompts = await asked_twice(here, asking(related("/w/shop/stock.py", STOCK)))
            assert [prompt.chunks for prompt in prompts] == [(), ()]

    run(scenario)


def test_what_git_ignores_is_no_context_to_a_model_either(tmp_path: Path):
    """Nor to the look-up. What `exclude` names never gets here: tests/lsp/test_session.py."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("secret.py\n")
    secret = related(str(tmp_path / "secret.py"), STOCK + "# secret\n")
    stock = related(str(tmp_path / "stock.py"), STOCK)

    async def scenario():
        async with world() as here:
            _, prompt = await asked_twice(here, asking(secret, stock))
            assert texts(prompt) == [STOCK]
            assert {others for _, _, *others in here.looked_up for others in others} == {STOCK}

    run(scenario)
