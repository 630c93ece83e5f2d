"""One editor and its documents, over a real socket: what the assistant is given of them, and what the editor is told."""

from __future__ import annotations

import asyncio

import pytest

from lsp.assistant import Status
from tests.lsp.editor import serving
from tests.lsp.scripted import Scripted, run


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
