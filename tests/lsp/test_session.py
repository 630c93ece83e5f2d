"""One editor and its documents, over a real socket."""

from __future__ import annotations

import asyncio

import pytest

from lsp.assistant import Status
from tests.lsp.editor import AnswerError, at, serving, span
from tests.lsp.scripted import Scripted

SMILE = "\N{GRINNING FACE}"


def run(scenario, tmp_path, assistant=None, **options):
    assistant = assistant or Scripted()

    async def body():
        async with serving(assistant, tmp_path, **options) as (connect, _):
            editor = await connect()
            await editor.initialize()
            await scenario(editor, assistant)

    asyncio.run(asyncio.wait_for(body(), 20))


def only(answer):
    (item,) = answer["items"]
    return item


def test_ghost_text_is_advertised_statically_and_the_menu_only_without_it(tmp_path):
    async def body():
        async with serving(Scripted(), tmp_path) as (connect, _):
            ghost = await (await connect()).initialize()
            menu = await (await connect()).initialize({})
            both = await (await connect()).initialize(initializationOptions={"popup": True})
        assert ghost["inlineCompletionProvider"] is not None
        assert "completionProvider" not in ghost
        assert menu["completionProvider"] is not None
        assert both["completionProvider"] is not None
        assert menu["executeCommandProvider"]["commands"] == ["hearth.accepted"]
        assert menu["textDocumentSync"]["change"] == 2

    asyncio.run(body())


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


def test_an_unknown_document_is_an_empty_list(tmp_path):
    async def scenario(editor, _):
        assert (await editor.ghost(0, 4))["items"] == []

    run(scenario, tmp_path)


def test_a_closed_document_is_unknown(tmp_path):
    async def scenario(editor, _):
        editor.open("x = ")
        editor.notify("textDocument/didClose", textDocument={"uri": "file:///w/a.py"})
        assert (await editor.ghost(0, 4))["items"] == []

    run(scenario, tmp_path, Scripted("1"))


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


def test_half_a_surrogate_pair_in_a_message_does_no_harm(tmp_path):
    async def scenario(editor, assistant):
        editor.open("x = '\ud83d' ")
        await editor.ghost(0, 8)
        assert (await assistant.queries.get()).prefix == "x = '\ufffd' "

    run(scenario, tmp_path, Scripted("1"))


def test_line_ends_become_line_feeds_and_only_the_protocols_are_line_ends(tmp_path):
    async def scenario(editor, assistant):
        editor.open("a\r\nb\fc\u2028d\re")
        await editor.ghost(2, 1)
        assert (await assistant.queries.get()).prefix == "a\nb\fc\u2028d\ne"

    run(scenario, tmp_path, Scripted("1"))


def test_other_open_documents_come_along_the_latest_first_without_the_excluded(tmp_path):
    async def scenario(editor, assistant):
        for name in ("one.py", "two.py", ".env", "a.py"):
            editor.open(f"# {name}", uri=f"file:///w/{name}")
        await editor.ghost(0, 6)
        query = await assistant.queries.get()
        assert [(r.path, r.text) for r in query.related] == [
            ("/w/two.py", "# two.py"),
            ("/w/one.py", "# one.py"),
        ]

    run(scenario, tmp_path, Scripted(), excluded=lambda path: path.endswith(".env"))


def test_context_does_not_cross_workspace_folders(tmp_path):
    async def body():
        assistant = Scripted()
        async with serving(assistant, tmp_path) as (connect, _):
            editor = await connect()
            folder = {"uri": "file:///w/one", "name": "one"}
            await editor.initialize(workspaceFolders=[folder])
            for name in ("one/a.py", "one/sub/b.py", "one2/c.py", "d.py", "e.py"):
                editor.open(f"# {name}", uri=f"file:///w/{name}")
            folder = {"uri": "file:///w/one2", "name": "two"}
            change = {"added": [folder], "removed": []}
            editor.notify("workspace/didChangeWorkspaceFolders", event=change)
            for name in ("one/a.py", "one2/c.py", "d.py"):
                await editor.ghost(0, 0, uri=f"file:///w/{name}")
        seen = [[r.path for r in assistant.queries.get_nowait().related] for _ in range(3)]
        assert seen == [["/w/one/sub/b.py"], [], ["/w/e.py"]]

    asyncio.run(body())


@pytest.mark.slow
def test_an_excluded_or_too_large_document_gets_nothing(tmp_path, caplog):
    async def scenario(editor, assistant):
        editor.open("KEY = ", uri="file:///w/.env")
        assert (await editor.ghost(0, 6, uri="file:///w/.env"))["items"] == []
        editor.open("x" * 8_000_000)
        assert (await editor.ghost(0, 0))["items"]
        editor.change("x", (0, 0))
        assert (await editor.ghost(0, 0))["items"] == []

    run(scenario, tmp_path, Scripted("1 +"), excluded=lambda path: path.endswith(".env"))
    assert "too large" in caplog.text


def test_a_change_without_a_range_is_the_whole_text(tmp_path):
    async def scenario(editor, assistant):
        editor.open("old")
        editor.notify(
            "textDocument/didChange",
            textDocument={"uri": "file:///w/a.py", "version": 2},
            contentChanges=[{"text": "y = "}],
        )
        await editor.ghost(0, 4)
        query = await assistant.queries.get()
        assert (query.prefix, query.version) == ("y = ", 2)

    run(scenario, tmp_path, Scripted("1"))


def test_a_cancelled_request_is_withdrawn_and_answered_with_the_protocols_error(tmp_path):
    async def scenario(editor, assistant):
        editor.open("x = ")
        request = editor.ghost(0, 4)
        query = await assistant.queries.get()
        editor.cancel(request)
        with pytest.raises(AnswerError, match="32800"):
            await request
        assert assistant.withdrawn == [query]

    assistant = Scripted()
    assistant.held = True
    run(scenario, tmp_path, assistant)


def test_a_newer_request_makes_the_older_one_null_at_once_and_withdraws_it(tmp_path):
    async def scenario(editor, assistant):
        editor.open("x = \n")
        older = editor.ghost(0, 4)
        await assistant.queries.get()
        editor.change("a", (1, 0))
        newer = editor.ghost(1, 1)
        assert await older is None
        assert len(assistant.withdrawn) == 1
        assistant.waiting[1].set_result("bc")
        assert only(await newer)["insertText"] == "abc"

    assistant = Scripted()
    assistant.held = True
    run(scenario, tmp_path, assistant)


def test_an_older_answer_that_comes_in_the_same_turn_as_a_newer_request_is_null(tmp_path):
    async def scenario(editor, assistant):
        editor.open("x = ")
        older, newer = editor.ghost(0, 4), editor.ghost(0, 4)
        assert await older is None
        assert only(await newer)["insertText"] == "1"

    run(scenario, tmp_path, Scripted("1"))


def test_the_snapshot_is_from_before_a_change_that_comes_right_behind_the_request(tmp_path):
    async def scenario(editor, assistant):
        editor.open("x = ")
        request = editor.ghost(0, 4)
        editor.change("y", (0, 0))
        query = await assistant.queries.get()
        assert (query.prefix, query.version) == ("x = ", 1)
        assert await request is None

    run(scenario, tmp_path, Scripted("1"))


def _answer_after_change(tmp_path, change, answer):
    """The result of a request whose document changes while it waits."""
    found = []

    async def scenario(editor, assistant):
        editor.open("x = (\n)\n")
        request = editor.ghost(0, 4)
        await assistant.queries.get()
        change(editor)
        await editor.request("workspace/executeCommand", command="hearth.accepted", arguments=[])
        assistant.waiting[0].set_result(answer)
        found.append(await request)

    assistant = Scripted()
    assistant.held = True
    run(scenario, tmp_path, assistant)
    return found[0]


def test_an_answer_is_trimmed_by_what_was_typed_since(tmp_path):
    answer = _answer_after_change(tmp_path, lambda editor: editor.change("ma", (0, 4)), "max")
    item = only(answer)
    assert item["insertText"] == "x"
    assert item["range"] == span(6, 6)


def test_an_answer_that_was_typed_to_its_end_hides_the_ghost(tmp_path):
    answer = _answer_after_change(tmp_path, lambda editor: editor.change("max", (0, 4)), "max")
    assert answer["items"] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda editor: editor.change("other", (0, 4)),
        lambda editor: editor.change("", (0, 3), (0, 4)),
        lambda editor: editor.change("\n", (0, 4)),
        lambda editor: editor.change("# more\n", (0, 0)),
        lambda editor: editor.notify(
            "textDocument/didClose", textDocument={"uri": "file:///w/a.py"}
        ),
    ],
    ids=["typed otherwise", "deleted", "new line", "edited above", "closed"],
)
def test_an_answer_that_no_longer_fits_is_null(tmp_path, change):
    assert _answer_after_change(tmp_path, change, "max") is None


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


def test_acceptances_are_told_and_nonsense_is_ignored(tmp_path):
    async def scenario(editor, assistant):
        for arguments in ([7, 12], [], ["7", 12], [7, -1]):
            await editor.request(
                "workspace/executeCommand", command="hearth.accepted", arguments=arguments
            )
        assert assistant.acceptances == [(7, 12)]

    run(scenario, tmp_path)


def test_opening_a_document_tells_its_language(tmp_path):
    async def scenario(editor, assistant):
        editor.open("fn main() {}", language="rust")
        await editor.ghost(0, 0)
        assert assistant.opened_languages == ["rust"]

    run(scenario, tmp_path)


def test_two_editors_do_not_see_each_others_documents(tmp_path):
    async def body():
        assistant = Scripted("1")
        async with serving(assistant, tmp_path) as (connect, _):
            one, two = await connect(), await connect()
            await asyncio.gather(one.initialize(), two.initialize())
            one.open("one = ")
            two.open("second = ")
            await asyncio.gather(one.ghost(0, 6), two.ghost(0, 9))
        queries = [await assistant.queries.get() for _ in range(2)]
        assert {query.prefix for query in queries} == {"one = ", "second = "}
        assert len({query.session for query in queries}) == 2
        assert not any(query.related for query in queries)

    asyncio.run(body())


def test_a_large_document_is_windowed(tmp_path):
    async def scenario(editor, assistant):
        editor.open("# a line of text\n" * 60_000)
        await editor.ghost(30_000, 0)
        query = await assistant.queries.get()
        assert 19_000 < len(query.prefix) <= 20_000
        assert 19_000 < len(query.suffix) <= 20_000

    run(scenario, tmp_path, Scripted("1"))


def test_status_is_told_at_first_and_at_each_change(tmp_path):
    async def scenario(editor, assistant):
        first = await editor.told.get()
        assistant.become(Status("busy", "Busy"))
        assistant.become(Status("busy", "Busy"))
        assistant.become(Status("ready", "Ready"))
        told = [first, await editor.told.get(), await editor.told.get()]
        assert [message["params"]["kind"] for message in told] == ["ready", "busy", "ready"]
        assert {message["method"] for message in told} == {"hearth/status"}

    run(scenario, tmp_path)


def test_loading_is_shown_as_progress_once_the_editor_agrees(tmp_path):
    async def body():
        assistant = Scripted()
        async with serving(assistant, tmp_path) as (connect, _):
            editor = await connect()
            await editor.initialize({"window": {"workDoneProgress": True}})
            await editor.told.get()
            assistant.become(Status("loading", "Loading tiny", 0.1))
            create = await editor.asked.get()
            assert create["method"] == "window/workDoneProgress/create"
            editor.send({"id": create["id"], "result": None})
            await editor.request("workspace/executeCommand", command="hearth.accepted")
            assistant.become(Status("loading", "Loading tiny", 0.5))
            assistant.become(Status("ready", "Ready"))
            told = []
            while len(told) < 3:
                message = await editor.told.get()
                if message["method"] == "$/progress":
                    told.append(message["params"])
        assert [value["value"]["kind"] for value in told] == ["begin", "report", "end"]
        assert told[1]["value"]["percentage"] == 50
        assert {value["token"] for value in told} == {create["params"]["token"]}

    asyncio.run(body())
