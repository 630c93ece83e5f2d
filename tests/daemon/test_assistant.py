"""The daemon behind an editor's session: the true orchestrator over fake engines."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from daemon.acceptance import Tally
from daemon.assistant import DaemonAssistant
from daemon.choice import Written, weigh
from daemon.config import EMBEDDED_NAME
from daemon.fim_window import Window, fim_of, readable_chars
from daemon.orchestrator import ModelEntry, Orchestrator
from daemon.suggestions import DOCUMENTS_MAX, Suggestions
from engines.engine import Job
from engines.fake import FakeEngine
from engines.fake_knobs import Knobs, steady
from engines.lookup import Found
from lsp.assistant import Draft, Query, Related
from policies.request import Kind
from policies.view import ModelView
from tests.lsp.editor import serving, span

CODER = ModelView("coder", frozenset(Kind), frozenset(), need_bytes=0, sequences=2)
EMBEDDED = replace(CODER, name=EMBEDDED_NAME)
QUERY = Query("editor", "file:///w/a.py", "/w/a.py", "python", 1, 0, "x = ", "\n")
SURE = Found("looked_up()", 20, 0.95, "file")
LIKELY = replace(SURE, confidence=0.6)
WEAK = replace(SURE, confidence=0.1)


@dataclass
class World:
    """The assistant, what it looks up, and the jobs that reached an engine."""

    orchestrator: Orchestrator
    found: Found | None = None
    jobs: list[Job] = field(default_factory=list)
    looked_up: list[tuple[str, ...]] = field(default_factory=list)
    assistant: DaemonAssistant = field(init=False)

    def look_up(self, prefix, suffix, *, others=()):
        self.looked_up.append((prefix, suffix, *others))
        return self.found

    @property
    def ended(self):
        return self.orchestrator.snapshot().ended

    @property
    def waiting(self):
        return sum(self.orchestrator.snapshot().queued.values())

    async def until(self, wanted):
        """Wait for a change of state after which something holds."""
        changed = asyncio.Event()
        unwatch = self.orchestrator.watch(changed.set)
        async with asyncio.timeout(20):
            while not wanted():
                await changed.wait()
                changed.clear()
        unwatch()


@asynccontextmanager
async def world(script="done()", *, view=CODER, found=None, knobs=None):
    knobs = replace(knobs or Knobs(step_s=steady(tokens_per_s=10_000)), script=lambda _: script)
    made = []

    def make(_name, receive):
        engine = FakeEngine(receive, knobs)
        submit = engine.submit

        def note(job):
            here.jobs.append(job)
            submit(job)

        engine.submit = note
        made.append(engine)
        return engine

    orchestrator = Orchestrator([ModelEntry(view)], make)
    here = World(orchestrator, found)
    driver = asyncio.create_task(orchestrator.run())
    here.assistant = DaemonAssistant(orchestrator, look_up=here.look_up)
    try:
        yield here
    finally:
        await orchestrator.close()
        driver.cancel()


async def ready(here):
    """Load the model, and let the assistant hear of it."""
    heard = asyncio.Event()
    unwatch = here.assistant.watch(lambda status: status.kind == "ready" and heard.set())
    here.orchestrator.preload(here.orchestrator.snapshot().models[0].name)
    await here.until(lambda: here.orchestrator.snapshot().models[0].loaded)
    async with asyncio.timeout(20):
        await heard.wait()
    unwatch()


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario(), 30))


def typed(query, text):
    return replace(query, prefix=query.prefix + text, version=query.version + 1)


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


def test_a_certain_look_up_is_shown_without_a_model():
    async def scenario():
        async with world(found=SURE) as here:
            query = replace(QUERY, related=(Related("/w/b.py", "python", "b"),))
            draft = await here.assistant.complete(query)
            assert (draft.text, draft.origin) == ("looked_up()", "look-up")
            assert draft.request_id < 0
            assert here.looked_up == [("x = ", "\n", "b")]
            assert not here.jobs

    run(scenario)


def test_a_likely_look_up_is_shown_while_no_model_is_ready_and_not_after():
    async def scenario():
        async with world(found=LIKELY) as here:
            assert (await here.assistant.complete(QUERY)).origin == "look-up"
            await ready(here)
            other = replace(QUERY, uri="file:///w/b.py")
            assert (await here.assistant.complete(other)).origin == "model"

    run(scenario)


def test_an_explicit_request_always_asks_the_model():
    async def scenario():
        async with world(found=SURE) as here:
            draft = await here.assistant.complete(replace(QUERY, invoked=True))
            assert draft.origin == "model"

    run(scenario)


def test_a_language_without_a_model_has_the_look_up_only():
    async def scenario():
        view = replace(CODER, languages=frozenset({"rust"}))
        async with world(view=view, found=LIKELY) as here:
            here.assistant.opened("editor", "python")
            assert (await here.assistant.complete(QUERY)).origin == "look-up"
            here.found = WEAK
            other = replace(QUERY, uri="file:///w/b.py")
            assert await here.assistant.complete(other) is None
            assert not here.jobs
            assert "look-up only for python" in here.assistant.status().message

    run(scenario)


def test_when_the_model_fails_a_likely_look_up_stands_in():
    async def scenario():
        async with world(found=LIKELY, knobs=Knobs(load_fails=True)) as here:
            draft = await here.assistant.complete(replace(QUERY, invoked=True))
            assert draft.origin == "look-up"

    run(scenario)


def test_when_nothing_is_worth_showing_there_is_none():
    async def scenario():
        async with world("...", found=WEAK) as here:
            assert await here.assistant.complete(QUERY) is None
            assert here.assistant.acceptance["model"] == Tally()

    run(scenario)


def test_the_embedded_model_is_weighed_against_the_look_up():
    async def scenario():
        async with world(view=EMBEDDED) as here:
            await ready(here)
            asked = replace(QUERY, invoked=True)
            assert (await here.assistant.complete(asked)).origin == "model"
            assert here.jobs[0].logprobs
            assert here.jobs[0].prompt.single_line
            here.found = SURE
            other = replace(QUERY, uri="file:///w/b.py")
            assert await here.assistant.complete(other)
            assert len(here.jobs) == 2

    run(scenario)


@pytest.mark.parametrize(
    ("found", "written", "invoked", "origin"),
    [
        (None, Written(), True, None),
        (None, Written("done()", -20.0, 3), True, "model"),
        (SURE, Written(), True, "look-up"),
        (WEAK, Written(), False, None),
        (SURE, Written("looked_up()", -0.1, 3), True, "model"),
        (SURE, Written("done((", -0.1, 3), True, "look-up"),
    ],
    ids=["nothing", "the model", "the look-up", "too weak", "both agree", "one does not fit"],
)
def test_which_of_two_witnesses_is_shown(found, written, invoked, origin):
    chosen = weigh(replace(QUERY, invoked=invoked), found, written)
    assert [candidate.origin for candidate in chosen] == ([origin] if origin else [])


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


def test_acceptances_are_counted_by_origin():
    async def scenario():
        async with world() as here:
            draft = await here.assistant.complete(QUERY)
            here.assistant.accepted("editor", draft.request_id, 6)
            here.found = SURE
            draft = await here.assistant.complete(replace(QUERY, uri="file:///w/b.py"))
            here.assistant.accepted("editor", draft.request_id, 11)
            assert here.assistant.acceptance == {
                "model": Tally(1, 1, 6),
                "look-up": Tally(1, 1, 11),
            }

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
