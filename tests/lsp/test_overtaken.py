"""Answers that something newer overtakes: a cancellation, another request, what was typed meanwhile."""

from __future__ import annotations

import pytest

from tests.lsp.editor import AnswerError, only, span
from tests.lsp.scripted import Scripted, run


def test_a_cancelled_request_is_withdrawn_and_answered_with_the_protocols_error(tmp_path):
    async def scenario(editor, assistant):
        editor.open("x = ")
        request = editor.ghost(0, 4)
        query = await assistant.queries.get()
        editor.cancel(request)
        with pytest.raises(AnswerError, match="32800"):
            await request
        assert assistant.withdrawn == [query]

    run(scenario, tmp_path, Scripted(held=True))


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

    run(scenario, tmp_path, Scripted(held=True))


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

    run(scenario, tmp_path, Scripted(held=True))
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
