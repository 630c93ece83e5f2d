"""Who types what the last suggestion says sees the rest of it, and no model is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.suggestions import DOCUMENTS_MAX, Suggestions
from lsp.assistant import Draft
from tests.daemon.world import QUERY, run, typed, world
from tests.lsp.editor import serving, span


def test_what_is_typed_through_a_suggestion_asks_no_model():
    async def scenario():
        async with world() as here:
            await here.assistant.complete(QUERY)
            rest = await here.assistant.complete(typed(QUERY, "do"))
            assert (rest.text, rest.typed) == ("done()", "do")
            assert len(here.jobs) == 1

    run(scenario)


@pytest.mark.parametrize("text", ["no", "done()"], ids=["otherwise", "to its end"])
def test_what_is_typed_besides_or_beyond_it_asks_again(text):
    async def scenario():
        async with world() as here:
            await here.assistant.complete(QUERY)
            await here.assistant.complete(typed(QUERY, text))
            assert len(here.jobs) == 2

    run(scenario)


def test_an_editor_sees_the_rest_of_what_it_types_through(tmp_path):
    """Three rows stay three rows, although they would be cut if they were shaped at the new place."""

    async def scenario():
        async with world("one()\n    two()\n    three()") as here:
            async with serving(here.assistant, tmp_path) as (connect, _):
                editor = await connect()
                await editor.initialize()
                editor.open("def f():\n    \n")
                whole = await editor.ghost(1, 4)
                editor.change("on", (1, 4))
                rest = await editor.ghost(1, 6)
            assert whole["items"][0]["insertText"] == "one()\n    two()\n    three()"
            assert rest["items"][0]["insertText"] == "one()\n    two()\n    three()"
            assert rest["items"][0]["range"] == span(4, 6, line=1)
            assert len(here.jobs) == 1

    run(scenario)


def test_a_bracket_that_the_editor_closed_does_not_hinder_typing_through():
    async def scenario():
        async with world("f(a)") as here:
            await here.assistant.complete(QUERY)
            after = replace(typed(QUERY, "f("), suffix=")\n")
            assert (await here.assistant.complete(after)).typed == "f("

    run(scenario)


def test_another_editor_or_a_changed_rest_does_not_type_through():
    async def scenario():
        async with world() as here:
            await here.assistant.complete(QUERY)
            await here.assistant.complete(replace(typed(QUERY, "do"), session="other"))
            await here.assistant.complete(replace(typed(QUERY, "do"), suffix=" + 1\n"))
            assert len(here.jobs) == 3

    run(scenario)


def test_suggestions_are_few_and_go_with_their_editor():
    suggestions = Suggestions()
    queries = [replace(QUERY, uri=f"file:///{n}") for n in range(DOCUMENTS_MAX + 1)]
    for query in queries:
        suggestions.remember(query, Draft("text", "model"))
    assert suggestions.recall(queries[0]) is None
    assert suggestions.recall(queries[1])
    suggestions.forget("editor")
    assert suggestions.recall(queries[1]) is None
