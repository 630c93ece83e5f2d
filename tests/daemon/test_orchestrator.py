"""The live driver over fake engines: tickets, retries, restarts, the end of the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest

from daemon.journal import Journal
from daemon.orchestrator import ModelEntry, Orchestrator
from daemon.tickets import Ask
from engines import engine as frames
from engines.engine import Constraint, Emitted, Frame, Job, Likely, Plain, Receive, Score
from engines.fake import FakeEngine
from engines.fake_knobs import Knobs, steady
from policies.limits import Limits
from policies.messages import Arrived, Outcome, Reason, Start
from policies.request import Class, Kind, Place
from policies.view import ModelView, Phase
from tests.sim.replay import replay

CODER = ModelView("coder", frozenset(Kind), frozenset(), need_bytes=100, sequences=2)
TALKER = ModelView("talker", frozenset({Kind.CHAT}), frozenset(), need_bytes=100, sequences=2)
ASK = Ask(Kind.GENERATE, Plain("a prompt of a few words"), tokens_max=50, client="me")
FAST = Knobs(step_s=steady(tokens_per_s=100_000))


class Daemon:
    """An orchestrator whose engines do as their knobs say: one set of knobs a load, the last for the rest."""

    def __init__(
        self, *knobs: Knobs, models: tuple[ModelView, ...], limits: Limits, engine: type[FakeEngine]
    ):
        self.knobs = list(knobs)
        self.engine = engine
        self.engines: list[FakeEngine] = []
        self.orchestrator = Orchestrator(
            [ModelEntry(view, f"/models/{view.name}.gguf") for view in models],
            self._make,
            limits=limits,
            journal=Journal(),
        )

    def _make(self, _model: str, receive: Receive) -> FakeEngine:
        knobs = self.knobs.pop(0) if len(self.knobs) > 1 else self.knobs[0]
        self.engines.append(self.engine(receive, knobs))
        return self.engines[-1]


@asynccontextmanager
async def running(
    *knobs: Knobs,
    models: tuple[ModelView, ...] = (CODER,),
    limits: Limits | None = None,
    engine: type[FakeEngine] = FakeEngine,
) -> AsyncIterator[Daemon]:
    daemon = Daemon(*knobs, models=models, limits=limits or Limits(), engine=engine)
    task = asyncio.create_task(daemon.orchestrator.run())
    try:
        yield daemon
    finally:
        await daemon.orchestrator.close()
        task.cancel()


def test_a_request_loads_its_model_and_is_answered() -> None:
    """The text is the script's, and the pieces make up the text."""

    async def scenario() -> None:
        async with running(FAST) as daemon:
            ticket = daemon.orchestrator.submit(ASK)
            pieces = [piece.text async for piece in ticket.pieces()]
            result = await ticket.result()
            assert result.outcome is Outcome.DONE
            assert result.text == "".join(pieces) == "".join(f" word1_{n}" for n in range(12))
            assert result.model == "coder"
            assert result.first_token_s is not None
            assert result.first_token_s <= result.whole_s

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (replace(ASK, model="gpt-4"), Reason.NO_MODEL),
        (replace(ASK, prompt=Plain("word " * 100)), Reason.TOO_LONG),
    ],
)
def test_a_refusal_is_an_end_of_the_ticket(ask: Ask, reason: Reason) -> None:
    """What cannot be served is told so by the ticket, never by an exception."""

    async def scenario() -> None:
        async with running(replace(FAST, context_tokens=90)) as daemon:
            result = await daemon.orchestrator.submit(ask).result()
            assert (result.outcome, result.reason) == (Outcome.REFUSED, reason)

    asyncio.run(scenario())


def test_a_model_that_cannot_be_loaded_says_why() -> None:
    """The detail of the failed load reaches the caller."""

    async def scenario() -> None:
        async with running(Knobs(load_fails=True)) as daemon:
            result = await daemon.orchestrator.submit(ASK).result()
            assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.LOAD_FAILED)
            assert "told to fail" in result.detail
            assert daemon.orchestrator.snapshot().models[0].phase is Phase.FAILED

    asyncio.run(scenario())


def test_after_a_death_nothing_is_lost_and_nothing_repeated() -> None:
    """The second worker goes on behind the tokens that the first one gave."""

    async def scenario() -> None:
        async with running(replace(FAST, dies_at_step=6), FAST) as daemon:
            result = await daemon.orchestrator.submit(ASK).result()
            assert result.text == "".join(f" word1_{n}" for n in range(12))
            assert len(daemon.engines) == 2
            starts = [a for e in daemon.orchestrator.journal for a in e.actions if _is_start(a)]
            assert [start.alone for start in starts] == [False, True]

    asyncio.run(scenario())


def test_poison_fails_and_the_others_go_on() -> None:
    """A request that two workers died of is given up; the one beside it is answered."""

    def is_poison(job: Job) -> bool:
        return job.prompt == Plain("poison")

    async def scenario() -> None:
        async with running(replace(FAST, dies_inside=is_poison)) as daemon:
            poison = daemon.orchestrator.submit(replace(ASK, prompt=Plain("poison")))
            other = daemon.orchestrator.submit(replace(ASK, kind=Kind.COMPLETE))
            assert (await poison.result()).reason is Reason.POISON
            assert (await other.result()).outcome is Outcome.DONE

    asyncio.run(scenario())


def test_cancelling_answers_at_once() -> None:
    """Leaving the pieces early withdraws the request; the engine need not have stopped yet."""

    async def scenario() -> None:
        async with running(replace(FAST, step_s=steady(tokens_per_s=100))) as daemon:
            ticket = daemon.orchestrator.submit(ASK)
            pieces = ticket.pieces()
            await anext(pieces)
            await pieces.aclose()
            result = await ticket.result()
            assert (result.outcome, result.reason) == (Outcome.CANCELLED, Reason.CLIENT)

    asyncio.run(scenario())


def test_a_newer_completion_supersedes_the_older() -> None:
    """One place, one answer."""

    async def scenario() -> None:
        async with running(replace(FAST, load_s=0.01)) as daemon:
            ask = replace(ASK, kind=Kind.COMPLETE, place=Place("document", 7))
            older = daemon.orchestrator.submit(ask)
            newer = daemon.orchestrator.submit(ask)
            assert (await older.result()).outcome is Outcome.SUPERSEDED
            assert (await newer.result()).outcome is Outcome.DONE

    asyncio.run(scenario())


def test_a_client_that_goes_takes_its_requests_along() -> None:
    """Those of others stay."""

    async def scenario() -> None:
        async with running(replace(FAST, load_s=0.01)) as daemon:
            mine = daemon.orchestrator.submit(ASK)
            other = daemon.orchestrator.submit(replace(ASK, client="other"))
            daemon.orchestrator.withdraw_client("me")
            assert (await mine.result()).outcome is Outcome.CANCELLED
            assert (await other.result()).outcome is Outcome.DONE

    asyncio.run(scenario())


def test_a_request_that_made_way_goes_on_where_it_was() -> None:
    """A keystroke takes the only sequence; the chat's text is whole all the same."""

    async def scenario() -> None:
        async with running(Knobs(sequences=1)) as daemon:
            chat = daemon.orchestrator.submit(replace(ASK, kind=Kind.CHAT))
            pieces = chat.pieces()
            await anext(pieces)
            keystroke = daemon.orchestrator.submit(replace(ASK, kind=Kind.COMPLETE))
            assert (await keystroke.result()).outcome is Outcome.DONE
            assert not chat.ended
            assert (await chat.result()).text == "".join(f" word1_{n}" for n in range(12))

    asyncio.run(scenario())


def test_two_models_take_turns_in_memory_for_one() -> None:
    """The idle one leaves for the one that is asked for."""

    async def scenario() -> None:
        async with running(FAST, models=(CODER, TALKER), limits=Limits(memory_bytes=150)) as daemon:
            for kind, model in [(Kind.COMPLETE, "coder"), (Kind.CHAT, "talker")] * 2:
                ask = replace(ASK, kind=kind, model=model)
                assert (await daemon.orchestrator.submit(ask).result()).outcome is Outcome.DONE
            assert len(daemon.engines) == 4

    asyncio.run(scenario())


def test_closing_ends_every_ticket_and_every_engine() -> None:
    """Waiting, running and late ones all hear of the shutdown."""

    async def scenario() -> None:
        async with running(replace(FAST, step_s=steady(tokens_per_s=10))) as daemon:
            started = daemon.orchestrator.submit(ASK)
            pieces = started.pieces()
            await anext(pieces)
            unseen = daemon.orchestrator.submit(ASK)
            await daemon.orchestrator.close()
            late = daemon.orchestrator.submit(ASK)
            for ticket in (started, unseen, late):
                assert (await ticket.result()).reason is Reason.SHUTDOWN
            assert daemon.orchestrator.snapshot().models[0].usage.total_bytes == 0

    asyncio.run(scenario())


def test_the_snapshot_follows() -> None:
    """Phases, counts, latencies and speeds are there for the status page, and listeners hear of changes."""

    async def scenario() -> None:
        async with running(replace(FAST, used_bytes=70)) as daemon:
            told: list[Phase] = []
            stop_watching = daemon.orchestrator.watch(
                lambda: told.append(daemon.orchestrator.snapshot().models[0].phase)
            )
            await daemon.orchestrator.submit(ASK).result()
            stop_watching()
            snapshot = daemon.orchestrator.snapshot()
            model = snapshot.models[0]
            assert told[0] is Phase.LOADING
            assert model.phase is Phase.READY
            assert model.loaded is not None
            assert model.loaded.sequences == 4
            assert model.decode_tokens_per_s > 0
            assert snapshot.memory_used_bytes == 70
            assert snapshot.ended == {"done": 1}
            assert snapshot.latency[Class.FOREGROUND].count == 1

    asyncio.run(scenario())


def test_preloading_takes_free_memory_only() -> None:
    """A model nobody waits for is loaded beside the others, never instead of one."""

    async def scenario() -> None:
        async with running(FAST, models=(CODER, TALKER), limits=Limits(memory_bytes=150)) as daemon:
            daemon.orchestrator.preload("coder")
            daemon.orchestrator.preload("talker")
            await daemon.orchestrator.submit(replace(ASK, model="coder")).result()
            phases = [model.phase for model in daemon.orchestrator.snapshot().models]
            assert phases == [Phase.READY, Phase.ABSENT]

    asyncio.run(scenario())


def test_a_clients_own_limit_ends_its_request() -> None:
    """The alarm named by the scheduler rings, though no event comes."""

    async def scenario() -> None:
        async with running(replace(FAST, load_s=60)) as daemon:
            result = await daemon.orchestrator.submit(replace(ASK, expires_s=0.01)).result()
            assert (result.outcome, result.reason) == (Outcome.CANCELLED, Reason.EXPIRED)

    asyncio.run(scenario())


def test_the_journal_it_is_given_is_the_one_it_writes() -> None:
    """Also an empty one, which counts as false."""
    journal = Journal(entries_max=3)
    orchestrator = Orchestrator([], lambda _, receive: FakeEngine(receive), journal=journal)
    assert orchestrator.journal is journal


def test_a_live_journal_replays() -> None:
    """What the daemon did follows from the facts it journalled, and no prompt is among them."""

    async def scenario() -> None:
        async with running(replace(FAST, dies_at_step=3), FAST) as daemon:
            tickets = [daemon.orchestrator.submit(ASK) for _ in range(5)]
            for ticket in tickets:
                await ticket.result()
            journal = daemon.orchestrator.journal
            assert replay(journal, (CODER,), Limits()) is None
            assert "few words" not in repr(list(journal))
            assert sum(isinstance(entry.event, Arrived) for entry in journal) == 5

    asyncio.run(scenario())


class Scoring(FakeEngine):
    """A fake engine whose tokens have scores where its jobs ask for them; it keeps its jobs."""

    def __init__(self, receive: Receive, knobs: Knobs) -> None:
        super().__init__(lambda frame: receive(self._scored(frame)), knobs)
        self.jobs: dict[int, Job] = {}

    def submit(self, job: Job) -> None:
        self.jobs[job.request_id] = job
        super().submit(job)

    def _scored(self, frame: Frame) -> Frame:
        if not isinstance(frame, frames.Stepped):
            return frame
        emitted = tuple(msgspec.structs.replace(e, scores=self._scores(e)) for e in frame.emitted)
        return msgspec.structs.replace(frame, emitted=emitted)

    def _scores(self, emitted: Emitted) -> tuple[Score, ...]:
        wanted = self.jobs[emitted.request_id].tops is not None
        return tuple(Score(Likely(t, b"w", -1.0)) for t in emitted.tokens) if wanted else ()


def test_constraint_and_scores_go_the_whole_way() -> None:
    """The job says what the ask said; the scores of every step are in the pieces and in the result."""

    async def scenario() -> None:
        async with running(FAST, engine=Scoring) as daemon:
            form = Constraint("gbnf", "root ::= [a-z]")
            ask = replace(ASK, constraint=form, tops=3)
            ticket, plain = daemon.orchestrator.submit(ask), daemon.orchestrator.submit(ASK)
            pieces = [piece async for piece in ticket.pieces()]
            result = await ticket.result()
            (engine,) = daemon.engines
            job = engine.jobs[ticket.id]
            assert (job.constraint, job.tops) == (form, 3)
            assert [score.chosen.token for score in result.scores] == list(result.tokens)
            assert tuple(score for piece in pieces for score in piece.scores) == result.scores
            assert (await plain.result()).scores == ()
            assert engine.jobs[plain.id].constraint is engine.jobs[plain.id].tops is None

    asyncio.run(scenario())


def _is_start(action: object) -> bool:
    return isinstance(action, Start)
