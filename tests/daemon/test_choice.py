"""What is shown: what was looked up, what the model wrote, or nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.acceptance import Tally
from daemon.choice import Written, weigh
from engines.fake_knobs import Knobs
from lsp.assistant import Related
from tests.daemon.world import CODER, EMBEDDED, LIKELY, QUERY, SURE, WEAK, ready, run, world


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
