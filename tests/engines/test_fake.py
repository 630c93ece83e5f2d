"""The fake engine's own knobs, in virtual time; what it shares with the real one is in `test_contract.py`."""

from __future__ import annotations

from typing import TypeVar

from engines.engine import (
    Chat,
    Chunk,
    Died,
    Fim,
    Frame,
    Job,
    Loaded,
    LoadFailed,
    Message,
    Plain,
    Prepared,
    Prompt,
    Stepped,
    Stopped,
    StopType,
    Unloaded,
)
from engines.fake import FakeEngine
from engines.fake_knobs import Knobs, steady
from engines.shelf import Shelf
from policies.messages import Halt
from tests.sim.timers import VirtualTimers

F = TypeVar("F")


class Bench:
    """An engine, and every frame it has sent."""

    def __init__(self, shelf: Shelf | None = None, **knobs) -> None:
        self.frames: list[Frame] = []
        self.timers = VirtualTimers()
        self.engine = FakeEngine(self.frames.append, Knobs(**knobs), self.timers, shelf)
        self.engine.load()
        self.timers.run()

    def run(self, *jobs: Job) -> Bench:
        for job in jobs:
            self.engine.submit(job)
        self.timers.run()
        return self

    def sent(self, kind: type[F]) -> list[F]:
        return [frame for frame in self.frames if isinstance(frame, kind)]

    def text(self, number: int) -> str:
        given = [e for step in self.sent(Stepped) for e in step.emitted]
        return "".join(e.text for e in given if e.request_id == number)


def job(number: int = 1, prompt: Prompt | None = None, **facts) -> Job:
    return Job(number, prompt or Plain("one two three"), facts.pop("tokens_max", 100), **facts)


def says(text: str):
    return lambda _job: text


def test_it_loads_or_fails_or_dies() -> None:
    """As its knobs say, after the time they say."""
    bench = Bench(load_s=3.0, sequences=2)
    (loaded,) = bench.sent(Loaded)
    assert (loaded.sequences, bench.timers.time()) == (2, 3.0)
    assert len(Bench(load_fails=True).sent(LoadFailed)) == 1
    assert Bench(dies_loading=True).sent(Died)[0].inside == ()


def test_time_follows_the_speeds() -> None:
    """Three prompt tokens at 3 a second, whose end gives the first of four answers; a last draw says that it ends."""
    cost = steady(prefill_tokens_per_s=3, tokens_per_s=2)
    bench = Bench(step_s=cost, script=says("a b c d")).run(job())
    assert bench.timers.time() == 1 + 4 / 2
    (stopped,) = bench.sent(Stopped)
    assert stopped.stop == StopType("eos")
    assert (stopped.timings.prompt_tokens, stopped.timings.emitted_tokens) == (3, 4)
    assert stopped.timings.predict_ms == 2_000


def test_requests_that_share_steps_slow_each_other() -> None:
    """By the contention that the cost names; a prompt's tokens cost what they are many."""
    cost = steady(tokens_per_s=10, contention=0.5, prefill_tokens_per_s=100)
    assert cost(rows=1, tokens_each=1, longest_cells=9) == 0.1
    assert cost(rows=3, tokens_each=1, longest_cells=9) == 0.2
    assert cost(rows=2, tokens_each=50, longest_cells=50) == 1


def test_its_steps_are_the_planners() -> None:
    """A long prompt goes in chunks of the budget, in turn with what decodes: no step does both."""
    bench = Bench(budget_tokens=16, script=says(" w" * 30))
    bench.run(job(1, Plain("a")), job(2, Plain(" b" * 40)))
    steps = [(step.prefilled_tokens, len(step.emitted)) for step in bench.sent(Stepped)]
    assert steps[:7] == [(1, 1), (0, 1), (16, 0), (0, 1), (16, 0), (0, 1), (8, 1)]


def queued_ms(**knobs) -> float:
    """How long an urgent job waits that comes five seconds into a prompt of ten."""
    bench = Bench(step_s=steady(prefill_tokens_per_s=10), script=says("a"), **knobs)
    bench.run(job(1, Plain(" x" * 100)))  # what a prompt costs is known now
    bench.timers.call_later(5.0, lambda: bench.engine.submit(job(3, urgency=9.0)))
    bench.run(job(2, Plain(" y" * 100)))
    return next(s.timings.queued_ms for s in bench.sent(Stopped) if s.request_id == 3)


def test_a_step_is_broken_off_for_something_more_urgent() -> None:
    """Where the backend can, at once or after the time that takes; else the newcomer waits for a short chunk."""
    assert queued_ms() == 0
    assert queued_ms(abort_s=0.25) == 250
    assert 0 < queued_ms(can_abort=False) < 1_000


def ends_s(**knobs) -> float:
    """When a prompt of ten seconds ends that is paused from the fifth to the twentieth."""
    bench = Bench(step_s=steady(prefill_tokens_per_s=10), script=says("a"), **knobs)
    bench.run(job(1, Plain(" x" * 100)))  # what a prompt costs is known now
    began_s = bench.timers.time()
    bench.timers.call_later(5.0, lambda: bench.engine.pause(3.0, 1_000.0))
    bench.timers.call_later(20.0, bench.engine.unpause)
    ended_s: list[float] = []
    bench.engine._receive = lambda _frame: ended_s.append(bench.timers.time() - began_s)
    bench.run(job(2, Plain(" y" * 100)))
    return ended_s[-1]


def test_a_pause_breaks_off_a_step_of_lesser_work() -> None:
    """As a newcomer does: what was evaluated of the step is lost. Where it cannot, short chunks lose nothing."""
    assert round(ends_s()) == 30
    assert 24 < ends_s(can_abort=False) < 26


def test_stop_strings_and_limits_end_the_text() -> None:
    """The text ends before the stop string, or at the limit; a single line before its end."""
    bench = Bench(script=says("ab cd\nef gh")).run(
        job(1, stops=("d",)),
        job(2, tokens_max=3),
        job(3, Fim("x", "y", single_line=True)),
        job(4, tokens_max=0),
    )
    assert [bench.text(n) for n in (1, 2, 3, 4)] == ["ab c", "ab cd\nef", "ab cd", ""]
    stops = {stopped.request_id: stopped.stop for stopped in bench.sent(Stopped)}
    assert stops == {
        1: StopType("word", "d"),
        2: StopType("limit"),
        3: StopType("eos"),
        4: StopType("limit"),
    }


def test_the_time_to_generate_is_limited() -> None:
    """But there is always a first token."""
    bench = Bench(step_s=steady(tokens_per_s=1), script=says("a b c d e")).run(
        job(1, predict_s_max=0.0), job(2, predict_s_max=1.5)
    )
    assert bench.text(1) == "a"
    assert len(bench.text(2).split()) < 5


def test_a_prompt_with_the_same_beginning_finds_it_in_the_cache() -> None:
    """All but the last token, whose logits are needed."""
    bench = (
        Bench().run(job(1, Plain("a b c d"))).run(job(2, Plain("a b c x")), job(3, Plain("a b")))
    )
    cached = {frame.request_id: frame.cached_tokens for frame in bench.sent(Prepared)}
    assert cached == {1: 0, 2: 3, 3: 1}


def test_every_kind_of_prompt_is_read() -> None:
    """The text before the cursor comes last, so that typing keeps the beginning."""
    files = (Chunk("other"),)
    bench = Bench().run(
        job(1, Fim("def f", "rest", files)), job(2, Chat((Message("user", "why so"),)))
    )
    bench.run(job(3, Fim("def f g", "rest", files)))
    prepared = bench.sent(Prepared)
    assert [frame.prompt_tokens for frame in prepared] == [4, 3, 5]
    assert prepared[2].cached_tokens == 4


def test_a_prompt_longer_than_the_context_is_invalid() -> None:
    """And says so in numbers."""
    (stopped,) = Bench(context_tokens=3).run(job()).sent(Stopped)
    assert stopped.too_long
    assert "3 tokens" in stopped.detail


def test_what_was_sent_is_not_sent_again() -> None:
    """A second worker goes on behind the tokens of the first."""
    first = Bench(script=says("a b c d")).run(job(tokens_max=2))
    tokens = tuple(t for step in first.sent(Stepped) for e in step.emitted for t in e.tokens)
    second = Bench(script=says("a b c d")).run(job(tokens_max=3, sent=tokens))
    assert (first.text(1), second.text(1)) == ("a b", " c")


def test_the_urgent_go_first_and_the_lone_alone() -> None:
    """One sequence goes to the more urgent; one that is alone shares no step."""
    bench = Bench(sequences=2, script=says("a b"))
    bench.run(job(1), job(2, urgency=1.0), job(3, alone=True, urgency=2.0))
    assert bench.sent(Stopped)[0].request_id == 3
    crews = [{e.request_id for e in step.emitted} for step in bench.sent(Stepped)]
    assert all(crew == {3} for crew in crews if 3 in crew)


def parked_after(seconds: float, bench: Bench, *jobs: Job) -> Stopped:
    """The end of the first job, which is parked so soon after it was submitted."""
    bench.timers.call_later(seconds, lambda: bench.engine.park(jobs[0].request_id))
    bench.run(*jobs)
    return next(s for s in bench.sent(Stopped) if s.request_id == jobs[0].request_id)


def test_what_is_parked_goes_on_in_another_engine() -> None:
    """Its prompt and its tokens are cached there, and the text goes on behind them."""
    shelf = Shelf(1 << 20)
    first = Bench(shelf, step_s=steady(tokens_per_s=1.0), script=says("a b c d"))
    stopped = parked_after(1.5, first, job(1))
    assert (stopped.halt, first.text(1)) == (Halt.PARKED, "a b c")
    assert stopped.parked.tokens == 5
    assert stopped.parked.size_bytes == shelf.kept_bytes
    first.engine.unload()
    second = Bench(shelf, script=says("a b c d"))
    sent = tuple(t for step in first.sent(Stepped) for e in step.emitted for t in e.tokens)
    second.run(job(1, sent=sent, parked=stopped.parked.handle))
    assert second.text(1) == " d"
    assert second.sent(Prepared)[0].cached_tokens == 5, "all but the last, for its logits"
    assert len(shelf) == 0, "it is used up"


def test_what_cannot_be_parked_is_only_stopped() -> None:
    """Without a shelf, with one that is too small, and before anything was computed."""
    for shelf in (None, Shelf(1)):
        stopped = parked_after(2.5, Bench(shelf, step_s=steady(tokens_per_s=1.0)), job(1))
        assert (stopped.halt, stopped.parked) == (Halt.PARKED, None)
    shelf = Shelf(1 << 20)
    waiting = parked_after(0.0, Bench(shelf, step_s=steady(prefill_tokens_per_s=1.0)), job(1))
    assert (waiting.halt, waiting.parked) == (Halt.PARKED, None)
    lost = Bench(shelf, script=says("a b")).run(job(1, parked=77))
    assert lost.text(1) == "a b"
    assert len(shelf) == 0


def test_a_death_names_who_was_inside() -> None:
    """And nothing follows it."""
    bench = Bench(dies_inside=lambda job: job.request_id == 2)
    bench.run(job(1), job(2))
    assert isinstance(bench.frames[-1], Died)
    assert 2 in bench.frames[-1].inside
    assert Bench(dies_at_step=1).run(job()).sent(Stepped) == []


def test_it_ends_as_asked_or_at_once() -> None:
    """A killed engine sends no frame."""
    asked, killed = Bench(used_bytes=7), Bench(used_bytes=7)
    assert asked.engine.usage().total_bytes == 7
    asked.engine.unload()
    killed.engine.kill()
    for bench in (asked, killed):
        bench.timers.run()
        assert bench.engine.usage().total_bytes == 0
    assert isinstance(asked.frames[-1], Unloaded)
    assert isinstance(killed.frames[-1], Loaded)
