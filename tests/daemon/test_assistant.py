"""What the assistant of an editor's session asks of the orchestrator, and how each request ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from daemon.fim_window import Window, fim_of, readable_chars
from engines.fake_knobs import Knobs, steady
from tests.daemon.world import QUERY, run, typed, world


def test_the_model_writes_and_the_draft_says_so():
    async def scenario():
        async with world() as here:
            draft = await here.assistant.complete(QUERY)
            assert (draft.text, draft.origin, draft.model, draft.request_id) == (
                "done()",
                "model",
                "coder",
                1,
            )
            assert here.jobs[0].prompt.prefix == "x = "
            assert here.jobs[0].tokens_max == 64
            assert not here.jobs[0].logprobs

    run(scenario)


def test_writing_stops_where_the_block_ends():
    async def scenario():
        script = "compute( a)\nother = 1\n" + "more = 2 \n" * 20
        async with world(script, knobs=Knobs(step_s=steady(tokens_per_s=100))) as here:
            draft = await here.assistant.complete(QUERY)
            assert draft.text == "compute( a)"
            await here.until(lambda: here.ended)
            assert here.ended == {"done": 1}

    run(scenario)


def test_cancelling_withdraws_the_request():
    async def scenario():
        async with world(knobs=Knobs(load_s=60)) as here:
            task = asyncio.create_task(here.assistant.complete(QUERY))
            await here.until(lambda: here.waiting)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await here.until(lambda: here.ended == {"cancelled": 1})

    run(scenario)


def test_a_newer_query_on_the_line_supersedes_the_older_which_has_no_draft():
    async def scenario():
        knobs = Knobs(load_s=0.05, step_s=steady(tokens_per_s=10_000))
        async with world(knobs=knobs) as here:
            older = asyncio.create_task(here.assistant.complete(QUERY))
            newer = asyncio.create_task(here.assistant.complete(typed(QUERY, "d")))
            assert await older is None
            assert (await newer).text == "done()"
            assert here.ended == {"superseded": 1, "done": 1}

    run(scenario)


def test_ghost_text_and_menu_of_one_line_do_not_supersede_each_other():
    async def scenario():
        async with world("done()\nmore()") as here:
            ghost, menu = await asyncio.gather(
                here.assistant.complete(replace(QUERY, prefix="")),
                here.assistant.complete(replace(QUERY, prefix="", popup=True)),
            )
            assert ghost.text == "done()\nmore()"
            assert menu.text == "done()"
            assert here.jobs[1].prompt.single_line

    run(scenario)


def test_when_an_editor_goes_its_requests_end():
    async def scenario():
        async with world(knobs=Knobs(load_s=60)) as here:
            task = asyncio.create_task(here.assistant.complete(QUERY))
            await here.until(lambda: here.waiting)
            here.assistant.disconnected("editor")
            assert await task is None

    run(scenario)


def test_opening_a_document_loads_its_model_and_editors_are_told():
    async def scenario():
        async with world() as here:
            told = asyncio.Queue()
            here.assistant.watch(told.put_nowait)
            here.assistant.opened("editor", "python")
            while (status := await told.get()).message != "coder":
                assert status.kind in ("loading", "ready")
            assert status.kind == "ready"

    run(scenario)


def test_a_model_that_cannot_be_loaded_is_told():
    async def scenario():
        async with world(knobs=Knobs(load_fails=True)) as here:
            told = asyncio.Queue()
            unwatch = here.assistant.watch(told.put_nowait)
            await here.assistant.complete(QUERY)
            while (status := await told.get()).kind != "error":
                pass
            assert "told to fail" in status.message
            unwatch()

    run(scenario)


def test_the_window_follows_the_measured_speed_and_stays_where_it_begins():
    rows = "".join(f"row {number} of the file\n" for number in range(1500))
    query = replace(QUERY, prefix=rows, suffix="y" * 9000)
    slow, unknown, fast = (
        fim_of(query, Window(9999, 9999), readable_chars(speed)) for speed in (50.0, 0.0, 5_000.0)
    )
    assert len(slow.prefix) <= 2_000 < len(unknown.prefix) <= 4_000 < len(fast.prefix) <= 16_000
    assert len(fast.suffix) == 4_000
    longer = fim_of(typed(query, "and a few more words"), Window(9999), readable_chars(0.0))
    assert longer.prefix.startswith(unknown.prefix)
    few = fim_of(query, Window(prefix_lines=40, suffix_lines=2), readable_chars(5_000.0))
    assert 24 < few.prefix.count("\n") <= 40
    assert (
        fim_of(replace(query, suffix="a\n" * 9), Window(40, 2), readable_chars(0.0)).suffix
        == "a\na\na"
    )


@pytest.mark.parametrize(
    ("suffix", "single"), [("\n", False), (")\n", False), ("): \n", False), (" + b\n", True)]
)
def test_in_the_middle_of_a_line_one_line_is_asked_for(suffix, single):
    assert (
        fim_of(replace(QUERY, suffix=suffix), Window(), readable_chars(0.0)).single_line is single
    )
