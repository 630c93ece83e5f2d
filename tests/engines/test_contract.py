"""What every engine keeps: llama.cpp with the embedded model and a twin of each kind of memory, and the fake."""

import json

import pytest

from engines.engine import (
    Chat,
    Constraint,
    Fim,
    Job,
    Loaded,
    Message,
    Plain,
    Prepared,
    Stepped,
    Stopped,
    Unloaded,
)
from policies.messages import Halt
from tests.engines.contract import LONG, ON, engines, play, real_engines, trims
from tests.engines.hearing import Hearing, embedded_engine

PREFIX = "class Person:\n    def __init__(self, name, age):\n        self.name = name\n        self.age ="
SUFFIX = "\n\n    def greet(self):\n        print(self.name)\n"
pytestmark = pytest.mark.slow


@engines
def test_a_job_is_prepared_then_steps_then_stops_once(make, rungs_file):
    """`Prepared`, then `Stepped`s, then one `Stopped`, in this order; its timings count the tokens."""

    async def scene(hearing: Hearing) -> None:
        answer = await hearing.ask(Job(1, Fim(PREFIX, SUFFIX), tokens_max=6))
        kinds = [type(f) for f in hearing.frames if isinstance(f, Prepared | Stepped | Stopped)]
        assert kinds[0] is Prepared
        assert kinds.count(Stopped) == 1
        assert kinds[-1] is Stopped
        assert answer.stopped.halt == Halt.DONE
        assert answer.stopped.timings.emitted_tokens == len(answer.tokens) <= 6
        assert answer.stopped.timings.prompt_tokens == answer.prepared.prompt_tokens > 0
        assert answer.text

    play(make, rungs_file, scene)


@engines
def test_the_same_prompt_evaluates_one_token_the_second_time(make, rungs_file):
    """ENGINE.md 14, 17: only the last token is evaluated again; all are where the end of a sequence cannot be dropped."""

    async def scene(hearing: Hearing) -> None:
        first = await hearing.ask(Job(1, Plain(LONG), tokens_max=2))
        again = await hearing.ask(Job(2, Plain(LONG), tokens_max=2))
        assert first.stopped.timings.cached_tokens == 0
        kept = again.stopped.timings.prompt_tokens - 1 if trims(hearing) else 0
        assert again.stopped.timings.cached_tokens == kept
        assert again.prepared.cached_tokens == again.stopped.timings.cached_tokens
        assert again.text == first.text

    play(make, rungs_file, scene)


@engines
def test_tokens_max_zero_only_warms_the_cache(make, rungs_file):
    """A warm-up emits nothing and leaves its prompt in the cache."""

    async def scene(hearing: Hearing) -> None:
        warm = await hearing.ask(Job(1, Plain(LONG), tokens_max=0))
        after = await hearing.ask(Job(2, Plain(LONG), tokens_max=1))
        assert (warm.tokens, warm.text, warm.stopped.halt) == ([], "", Halt.DONE)
        kept = after.stopped.timings.prompt_tokens - 1 if trims(hearing) else 0
        assert after.stopped.timings.cached_tokens == kept

    play(make, rungs_file, scene)


@engines
def test_a_stopped_job_emits_nothing_more_and_frees_its_sequence(make, rungs_file):
    """`stop` is answered by `Stopped(stopped)`; another job can run at once."""

    async def scene(hearing: Hearing) -> None:
        hearing.engine.submit(Job(1, Plain(LONG), tokens_max=800, sampling=ON))
        await hearing.emitted(1, 3)
        hearing.engine.stop(1)
        stopped = await hearing.stopped(1)
        assert stopped.halt == Halt.STOPPED
        at = hearing.frames.index(stopped)
        await hearing.ask(Job(2, Plain("x = "), tokens_max=3))
        later = [
            e.request_id for f in hearing.frames[at:] if isinstance(f, Stepped) for e in f.emitted
        ]
        assert set(later) == {2}

    play(make, rungs_file, scene)


@engines
def test_stopping_what_is_unknown_or_over_is_harmless(make, rungs_file):
    async def scene(hearing: Hearing) -> None:
        hearing.engine.stop(77)
        await hearing.ask(Job(1, Plain("a = 1\n"), tokens_max=2))
        hearing.engine.stop(1)
        await hearing.ask(Job(2, Plain("b = 2\n"), tokens_max=2))
        assert sum(isinstance(f, Stopped) for f in hearing.frames) == 2

    play(make, rungs_file, scene)


@engines
def test_more_jobs_than_sequences_all_end(make, rungs_file):
    """What does not fit waits inside the engine and runs when a sequence is free."""

    async def scene(hearing: Hearing) -> None:
        jobs = [Job(n, Plain(f"value_{n} = "), tokens_max=5) for n in range(1, 10)]
        for job in jobs:
            hearing.engine.submit(job)
        answers = [await hearing.answer(job.request_id) for job in jobs]
        assert all(a.stopped.halt == Halt.DONE for a in answers)

    play(make, rungs_file, scene)


@engines
def test_a_prompt_over_the_context_is_the_requests_own_fault(make, rungs_file):
    async def scene(hearing: Hearing) -> None:
        answer = await hearing.ask(Job(1, Plain("one two three four\n" * 2000), tokens_max=8))
        assert answer.stopped.halt == Halt.INVALID
        assert answer.stopped.too_long
        assert answer.stopped.detail
        after = await hearing.ask(Job(2, Plain("x = "), tokens_max=2))
        assert after.stopped.halt == Halt.DONE

    play(make, rungs_file, scene)


@engines
def test_a_stop_string_ends_the_text_before_it(make, rungs_file):
    async def scene(hearing: Hearing) -> None:
        whole = await hearing.ask(Job(1, Fim(PREFIX, SUFFIX), 24, ON))
        stop = whole.text[3:6]
        cut = await hearing.ask(Job(2, Fim(PREFIX, SUFFIX), 24, ON, stops=(stop,)))
        assert cut.text == whole.text[: whole.text.index(stop)]
        assert cut.stopped.stop.kind == "word"
        assert cut.stopped.stop.word == stop

    play(make, rungs_file, scene)


@engines
def test_tokens_already_sent_are_not_repeated(make, rungs_file):
    """A retry gets the tokens that went out, and goes on behind them (ENGINE.md 19, 22)."""

    async def scene(hearing: Hearing) -> None:
        whole = await hearing.ask(Job(1, Fim(PREFIX, SUFFIX), 12, ON))
        half = tuple(whole.tokens[:5])
        rest = await hearing.ask(Job(2, Fim(PREFIX, SUFFIX), 12, ON, sent=half))
        assert [*half, *rest.tokens] == whole.tokens
        assert whole.text.endswith(rest.text)
        assert rest.stopped.timings.emitted_tokens == len(whole.tokens)

    play(make, rungs_file, scene)


@engines
def test_unload_ends_with_one_frame_and_load_works_again(make, rungs_file):
    async def scene(hearing: Hearing) -> None:
        hearing.engine.unload()
        await hearing.until(lambda f: isinstance(f, Unloaded))
        before = len(hearing.frames)
        hearing.engine.load()
        await hearing.until(lambda f: type(f).__name__ == "Loaded", start=before)
        answer = await hearing.ask(Job(1, Plain("y = "), tokens_max=2))
        assert answer.stopped.halt == Halt.DONE

    play(make, rungs_file, scene)


async def park(hearing: Hearing, number: int):
    """Run a request until it has some tokens, and park it."""
    hearing.engine.submit(Job(number, Plain(LONG), 400, ON))
    await hearing.emitted(number, 5)
    hearing.engine.park(number)
    return await hearing.answer(number)


@engines
@pytest.mark.parametrize("reload", [False, True], ids=["same", "reloaded"])
def test_a_parked_job_goes_on_as_if_it_never_stopped(make, rungs_file, reload: bool):
    """ENGINE.md 18, 19: what was parked outlives its engine; where it fits, the prompt is not evaluated again."""

    async def scene(hearing: Hearing) -> None:
        before = await park(hearing, 1)
        assert before.stopped.halt == Halt.PARKED
        parked = before.stopped.parked
        assert parked is not None
        if reload:
            hearing.engine.unload()
            await hearing.until(lambda f: isinstance(f, Unloaded))
            at = len(hearing.frames)
            hearing.engine.load()
            await hearing.until(lambda f: isinstance(f, Loaded), start=at)
        limit = len(before.tokens) + 8
        sent = tuple(before.tokens)
        job = Job(2, Plain(LONG), limit, ON, sent=sent, parked=parked.handle)
        after = await hearing.ask(job)
        whole = await hearing.ask(Job(3, Plain(LONG), limit, ON))
        assert before.tokens + after.tokens == whole.tokens
        if trims(hearing):
            timings = after.stopped.timings
            assert timings.cached_tokens >= whole.stopped.timings.prompt_tokens - 1

    play(make, rungs_file, scene)


@real_engines
def test_a_schema_is_kept_whatever_the_model_would_write(make, rungs_file):
    """ENGINE.md 21. The fake writes its script: constraints are no part of its contract."""
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    schema["additionalProperties"] = False
    constraint = Constraint("json_schema", json.dumps(schema))

    async def scene(hearing: Hearing) -> None:
        answer = await hearing.ask(Job(1, Plain("x = "), 200, constraint=constraint))
        assert answer.stopped.halt == Halt.DONE
        assert isinstance(json.loads(answer.text)["a"], bool)

    play(make, rungs_file, scene)


@real_engines
def test_scores_name_the_likeliest_tokens_in_order(make, rungs_file):
    """Greedy: the chosen token is the first of the tops. The fake has no numbers to tell."""

    async def scene(hearing: Hearing) -> None:
        await hearing.ask(Job(1, Plain("x = "), 4, ON, tops=3))
        steps = [f for f in hearing.frames if isinstance(f, Stepped)]
        scores = [s for f in steps for e in f.emitted for s in e.scores]
        assert len(scores) == 4
        for score in scores:
            assert score.chosen.logprob == score.tops[0].logprob <= 0
            assert [t.logprob for t in score.tops] == sorted(t.logprob for t in score.tops)[::-1]

    play(make, rungs_file, scene)


@engines
def test_lesser_work_goes_on_beside_urgent_jobs(make, rungs_file):
    """ENGINE.md 11: it gets tokens while urgent jobs come and go, and ends."""

    async def scene(hearing: Hearing) -> None:
        hearing.engine.submit(Job(1, Plain(LONG), 100, ON))
        for number in range(2, 8):
            answer = await hearing.ask(Job(number, Plain(f"v{number} = "), 3, ON, urgency=9.0))
            assert answer.stopped.halt == Halt.DONE
        assert (await hearing.answer(1)).stopped.timings.emitted_tokens == 100

    play(make, rungs_file, scene)


def test_chat_without_a_template_is_refused_in_words(rungs_file):
    """The embedded model has no chat template: the caller is told so, the worker lives on."""

    async def scene(hearing: Hearing) -> None:
        answer = await hearing.ask(Job(1, Chat((Message("user", "hello"),)), tokens_max=8))
        assert answer.stopped.halt == Halt.INVALID
        assert "chat template" in answer.stopped.detail

    play(embedded_engine, rungs_file, scene)
