"""What an editor is given to show, as ghost text and in its menu, and the range that it replaces."""

from __future__ import annotations

import asyncio

import pytest

from tests.lsp.editor import at, only, serving, span
from tests.lsp.scripted import Scripted, run

SMILE = "\N{GRINNING FACE}"


def test_an_item_begins_at_the_word_and_ends_at_the_cursor(tmp_path):
    async def scenario(editor, _):
        editor.open("x = foo")
        item = only(await editor.ghost(0, 7))
        assert item["insertText"] == "foo_bar()"
        assert item["range"] == span(4, 7)
        assert item["command"]["arguments"] == [7, 6]

    run(scenario, tmp_path, Scripted("_bar()"))


def test_nothing_to_show_is_an_empty_list(tmp_path):
    async def scenario(editor, _):
        editor.open("x = ")
        assert (await editor.ghost(0, 4))["items"] == []

    run(scenario, tmp_path, Scripted(None))


def test_an_auto_closed_quote_is_replaced_and_not_doubled(tmp_path):
    async def scenario(editor, _):
        editor.open('name = "Zo"')
        item = only(await editor.ghost(0, 10))
        assert item["insertText"] == 'Zoltan"'
        assert item["range"] == span(8, 11)

    run(scenario, tmp_path, Scripted('ltan"'))


@pytest.mark.parametrize(("encoding", "width"), [("utf-8", 4), ("utf-16", 2), ("utf-32", 1)])
def test_positions_are_in_the_negotiated_units(tmp_path, encoding, width):
    assistant = Scripted("d")

    async def body():
        async with serving(assistant, tmp_path) as (connect, _):
            editor = await connect()
            capabilities = await editor.initialize(encodings=[encoding])
            assert capabilities["positionEncoding"] == encoding
            editor.open(f"'{SMILE}' + wor")
            end = 8 + width
            item = only(await editor.ghost(0, end))
            assert item["range"] == span(end - 3, end)
            editor.change(SMILE, (0, 1), (0, 1 + width))  # replaces one smile by one
            editor.change("!", (0, 1 + width))
            await editor.ghost(0, end + 1)
        await assistant.queries.get()
        query = await assistant.queries.get()
        assert query.prefix == f"'{SMILE}!' + wor"

    asyncio.run(body())


def test_the_menus_selected_item_is_what_the_text_begins_with(tmp_path):
    async def scenario(editor, assistant):
        editor.open("import re\nre.ma")
        info = {"range": span(3, 5, line=1), "text": "match"}
        item = only(await editor.ghost(1, 5, selectedCompletionInfo=info))
        assert (await assistant.queries.get()).prefix == "import re\nre.match"
        assert item["insertText"] == "match(line)"
        assert item["range"] == span(3, 5, line=1)

    run(scenario, tmp_path, Scripted("(line)"))


def test_a_selected_item_that_replaces_the_rest_of_the_word_still_does(tmp_path):
    async def scenario(editor, assistant):
        editor.open("re.match")
        info = {"range": span(3, 8), "text": "fullmatch"}
        item = only(await editor.ghost(0, 5, selectedCompletionInfo=info))
        query = await assistant.queries.get()
        assert (query.prefix, query.suffix) == ("re.fullmatch", "")
        assert (item["insertText"], item["range"]) == ("fullmatch(line)", span(3, 8))

    run(scenario, tmp_path, Scripted("(line)"))


def test_a_selection_over_lines_gets_nothing(tmp_path):
    async def scenario(editor, _):
        editor.open("a\nb")
        info = {"range": {"start": at(0, 0), "end": at(1, 1)}, "text": "a\nb"}
        assert (await editor.ghost(1, 1, selectedCompletionInfo=info))["items"] == []

    run(scenario, tmp_path, Scripted("1"))


def test_an_explicit_request_says_so(tmp_path):
    async def scenario(editor, assistant):
        editor.open("x = ")
        await editor.ghost(0, 4, invoked=True)
        await editor.ghost(0, 4)
        assert [(await assistant.queries.get()).invoked for _ in range(2)] == [True, False]

    run(scenario, tmp_path, Scripted("1"))


def test_a_menu_has_one_line_that_sorts_last_and_never_reaches_behind_the_cursor(tmp_path):
    assistant = Scripted("t(1)\nmore")

    async def body():
        async with serving(assistant, tmp_path) as (connect, _):
            editor = await connect()
            await editor.initialize({})
            editor.open("f(prin)")
            answer = await editor.menu(0, 6)
        assert answer["isIncomplete"]
        item = only(answer)
        assert item["textEdit"] == {"range": span(2, 6), "newText": "print(1)"}
        assert item["label"] == item["filterText"] == "print(1)"
        assert item["detail"] == "Hearth"
        assert (await assistant.queries.get()).popup

    asyncio.run(body())


def test_a_menu_without_a_suggestion_is_empty_and_incomplete(tmp_path):
    async def body():
        async with serving(Scripted(None), tmp_path) as (connect, _):
            editor = await connect()
            await editor.initialize({})
            editor.open("x")
            assert await editor.menu(0, 1) == {"isIncomplete": True, "items": []}

    asyncio.run(body())
