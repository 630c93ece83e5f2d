"""The batcher's rules on real llama.cpp, step by step in this process."""

import random

import pytest

from engines.engine import Fim, Job, Plain, Sampling, Stepped, Stopped, StopType
from engines.llama import DECODED, NO_ROOM, Context, Model
from engines.selftest import Abilities
from policies.messages import Halt
from tests.engines.native import SOURCE, Bench, make_context

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def context(model: Model) -> Context:
    return make_context(model)


@pytest.fixture
def bench(model: Model, context: Context) -> Bench:
    return Bench(model, context)


def fail_decode(bench: Bench, monkeypatch: pytest.MonkeyPatch, bad: int, code: int) -> None:
    """From now on llama.cpp answers `code` to every batch with this token in it."""
    decode = bench.context.decode

    def refuse(feeds):
        return code if any(bad in feed.tokens for feed in feeds) else decode(feeds)

    monkeypatch.setattr(bench.context, "decode", refuse)


def prefilled(bench: Bench) -> int:
    return sum(f.prefilled_tokens for f in bench.frames if isinstance(f, Stepped))


def test_of_420_tokens_of_which_400_are_cached_20_are_evaluated(bench: Bench):
    """ENGINE.md 5, 14: reuse is decided from the ledger and is exact."""
    ids = bench.model.tokenize(SOURCE * 3)
    first, second = ids[:400], ids[:400] + ids[3:23]
    for number, prompt in ((1, first), (2, second)):
        job = Job(number, Plain(""), tokens_max=1)
        bench.submit_tokens(job, prompt)
        before = prefilled(bench)
        bench.run()
    assert prefilled(bench) - before == 20
    assert bench.stopped(2).timings.cached_tokens == 400
    bench.check_ledger()


def test_the_same_prompt_evaluates_one_token(bench: Bench):
    """Rule 4 of the ledger: only the last token, for its logits."""
    bench.ask(1, SOURCE, tokens_max=4)
    before = prefilled(bench)
    bench.ask(2, SOURCE, tokens_max=4)
    assert prefilled(bench) - before == 1
    assert bench.tokens(2) == bench.tokens(1)


def test_requests_about_one_file_share_a_prefix(bench: Bench):
    """ENGINE.md 5: a cell may have several owners; a busy sequence is shared and not disturbed."""
    alone = bench.ask(9, SOURCE + "\nx = ", tokens_max=30)
    assert alone.halt == Halt.DONE
    expected = bench.tokens(9)
    bench.submit(Job(1, Plain(SOURCE + "\nx = "), tokens_max=30))
    for _ in range(4):
        bench.step()
    bench.submit(Job(2, Plain(SOURCE + "\ny = "), tokens_max=30))
    bench.run()
    assert bench.stopped(2).timings.cached_tokens > 100
    assert bench.tokens(1) == expected
    bench.check_ledger()


def test_a_job_exactly_as_large_as_the_cache_runs(bench: Bench):
    """ENGINE.md 6: prompt and tokens are reserved together; the last cell can be used."""
    tokens = bench.context.cells - 5
    ids = (bench.model.tokenize(SOURCE) * 20)[:tokens]
    bench.submit_tokens(Job(1, Plain(""), 5, Sampling(ignore_eos=True)), ids)
    bench.run()
    assert bench.stopped(1).halt == Halt.DONE
    assert len(bench.tokens(1)) == 5


def test_a_job_larger_than_the_cache_ends_in_words_and_never_spins(bench: Bench):
    """ENGINE.md 6: a full cache is an event; alone in it there is nobody to give way."""
    ids = (bench.model.tokenize(SOURCE) * 20)[: bench.context.cells + 10]
    bench.submit_tokens(Job(1, Plain(""), 5), ids)
    bench.run(steps_max=100)
    assert bench.stopped(1).halt == Halt.FAILED
    assert "no room" in bench.stopped(1).detail
    assert bench.ask(2, "x = ", tokens_max=2).halt == Halt.DONE
    bench.check_ledger()


def test_nobodys_running_is_the_reason_that_another_has_no_room(model: Model):
    """ENGINE.md 6: a sequence has cells of its own; three jobs that fill theirs run side by side."""
    bench = Bench(model, make_context(model, cells=256, sequences=3))
    ids = (bench.model.tokenize(SOURCE) * 20)[:150]
    for number in (1, 2, 3):
        bench.submit_tokens(Job(number, Plain(""), 106, Sampling(ignore_eos=True)), ids)
    bench.run()
    assert {bench.stopped(n).halt for n in (1, 2, 3)} == {Halt.DONE}
    assert all(len(bench.tokens(n)) == 106 for n in (1, 2, 3))
    bench.check_ledger()


def test_rows_of_a_step_are_neighbours(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    """llama.cpp computes one graph for sequences whose numbers follow on each other: gaps are filled with idle ones."""
    decode, steps = bench.context.decode, []

    def watched(feeds):
        steps.append(sorted(feed.sequence for feed in feeds))
        return decode(feeds)

    monkeypatch.setattr(bench.context, "decode", watched)
    for number, tokens in ((1, 30), (2, 4), (3, 30)):
        job = Job(number, Plain(f"value_{number} = "), tokens, Sampling(ignore_eos=True))
        bench.submit(job)
    bench.run()
    wide = [rows for rows in steps if len(rows) > 1]
    assert any(len(rows) == 3 for rows in wide)
    assert all(rows == list(range(rows[0], rows[0] + len(rows))) for rows in wide)
    bench.check_ledger()


def test_a_job_that_waits_can_be_taken_back(model: Model, bench: Bench):
    for number in range(1, 7):
        bench.submit(Job(number, Plain("x = "), 20))
    bench.step()
    (stopped,) = bench.batcher.stop(6)
    assert (stopped.halt, stopped.timings.emitted_tokens) == (Halt.STOPPED, 0)
    assert bench.batcher.stop(6) == []
    bench.run()
    bench.check_ledger()


def test_who_must_run_alone_shares_no_step(bench: Bench):
    """ENGINE.md 22: a request that was inside a dying worker is tried once more, alone."""
    bench.submit(Job(1, Plain("a = "), 10))
    bench.step()
    bench.submit(Job(2, Plain("b = "), 3, Sampling(ignore_eos=True), alone=True))
    while bench.batcher.busy:
        aboard = bench.batcher.aboard()
        assert aboard == (2,) or 2 not in aboard
        bench.step()
    assert len(bench.tokens(2)) == 3
    assert bench.stopped(1).halt == Halt.DONE


def test_nothing_is_emitted_for_no_tokens(bench: Bench):
    """A warm-up: its prompt is in the cache, and nothing else came of it."""
    bench.ask(1, SOURCE, tokens_max=0)
    assert bench.emitted(1) == []
    assert bench.stopped(1).stop == StopType("limit")
    assert bench.ask(2, SOURCE, tokens_max=1).timings.cached_tokens > 100


@pytest.mark.parametrize("died_after", [1, 4, 11, 12])
def test_a_retry_repeats_nothing_and_changes_nothing(bench: Bench, died_after: int):
    """ENGINE.md 19, 22: drawn, not greedy, and whatever was sent before the worker died."""
    drawn = Sampling(temperature=0.8, seed=5, repeat_penalty=1.1, ignore_eos=True)
    bench.ask(1, SOURCE, tokens_max=12, sampling=drawn)
    whole = bench.tokens(1)
    sent = tuple(whole[:died_after])
    bench.ask(2, SOURCE, tokens_max=12, sampling=drawn, sent=sent)
    assert [*sent, *bench.tokens(2)] == whole
    texts = [e.text for e in bench.emitted(1)]
    assert "".join(texts[:died_after]) + bench.text(2) == bench.text(1)


def test_a_retry_whose_stop_string_was_already_met_only_ends(bench: Bench):
    """ENGINE.md 22: the worker died between the last token and the word that it was the last."""
    bench.ask(1, SOURCE, tokens_max=12, sampling=Sampling(ignore_eos=True))
    stop = bench.text(1)[4:7]
    end = bench.ask(2, SOURCE, tokens_max=12, sampling=Sampling(ignore_eos=True), stops=(stop,))
    sent = tuple(bench.tokens(2))
    again = bench.ask(
        3, SOURCE, tokens_max=12, sampling=Sampling(ignore_eos=True), stops=(stop,), sent=sent
    )
    assert again.stop == end.stop == StopType("word", stop)
    assert bench.tokens(3) == []
    assert bench.text(3) == ""


def test_a_time_limit_ends_generation_but_never_before_a_first_token(bench: Bench):
    end = bench.ask(1, SOURCE, tokens_max=50, predict_s_max=0.0)
    assert end.stop == StopType("limit")
    assert len(bench.tokens(1)) == 1


def test_a_batch_that_is_refused_is_tried_one_by_one_and_only_the_culprit_fails(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    """ENGINE.md 8: the request that caused it ends `failed`, others go on."""
    bad = bench.model.tokenize("zebra")[0]
    fail_decode(bench, monkeypatch, bad, -1)
    bench.submit(Job(1, Plain("x = "), 4))
    bench.submit(Job(2, Plain("zebra"), 4))
    bench.submit(Job(3, Plain("y = "), 4))
    bench.run()
    assert [bench.stopped(n).halt for n in (1, 2, 3)] == [Halt.DONE, Halt.FAILED, Halt.DONE]
    assert "-1" in bench.stopped(2).detail
    bench.check_ledger()


def test_a_batch_that_failed_half_way_is_finished_one_by_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    """ENGINE.md 8, 10: the graphs before the one that failed are in the cache, and what they lost is evaluated again."""
    decode, failed = bench.context.decode, []

    def fail_once(feeds):
        if failed or len(feeds) < 2 or len(feeds[0].tokens) == 1:
            return decode(feeds)
        failed.append([len(feed.tokens) for feed in feeds])
        assert decode(feeds[:1]) == DECODED
        return -3

    monkeypatch.setattr(bench.context, "decode", fail_once)
    ids = bench.model.tokenize(SOURCE * 3)
    for number, length in enumerate((50, 100), start=1):  # by then steps of both lengths are known
        bench.submit_tokens(Job(number, Plain(""), 1), ids[number : number + length])
        bench.run()
    before = prefilled(bench)
    prompts = {3: ids[100:150], 4: ids[160:210]}
    for number, prompt in prompts.items():
        bench.submit_tokens(Job(number, Plain(""), 4, Sampling(ignore_eos=True)), prompt)
    bench.run()
    assert failed == [[50, 50]]
    assert prefilled(bench) - before == 100
    bench.check_ledger()
    alone = Bench(bench.model, bench.context)
    for number, prompt in prompts.items():
        alone.submit_tokens(Job(number, Plain(""), 4, Sampling(ignore_eos=True)), prompt)
        alone.run()
        assert bench.tokens(number) == alone.tokens(number)


def test_what_is_read_again_is_no_negative_number(
    model: Model, context: Context, monkeypatch: pytest.MonkeyPatch
):
    """ENGINE.md 8, 17: a refusal empties what cannot be trimmed; a step of less than no tokens would make speeds nonsense."""
    bench = Bench(model, context, abilities=Abilities(trim=False, shift=False, abort=False))
    prompt = (model.tokenize(SOURCE) * 2)[:200]
    bench.submit_tokens(Job(1, Plain(""), 2, Sampling(ignore_eos=True)), prompt)
    bench.step()
    assert prefilled(bench) > 0
    fail_decode(bench, monkeypatch, prompt[199], -1)
    bench.run()
    assert bench.stopped(1).halt == Halt.FAILED
    assert all(f.prefilled_tokens >= 0 for f in bench.frames if isinstance(f, Stepped))


def test_a_stop_string_that_waited_for_a_longer_one_is_why_it_ended(bench: Bench):
    """ENGINE.md 4: at the limit the longer one cannot come any more, and the shorter one was met."""
    asked = {"tokens_max": 6, "sampling": Sampling(ignore_eos=True)}
    bench.ask(1, SOURCE, **asked)
    text = bench.text(1)
    stop, longer = text[-2:], text[-3:] + "\x00"
    assert text.index(stop) == len(text) - 2
    end = bench.ask(2, SOURCE, stops=(stop, longer), **asked)
    assert bench.text(2) == text[:-2]
    assert end.stop == StopType("word", stop)


def test_a_token_that_does_not_exist_fails_its_request_alone(bench: Bench):
    """ENGINE.md 8, with llama.cpp's own refusal."""
    bench.submit(Job(1, Plain("x = "), 4))
    bench.submit_tokens(Job(2, Plain(""), 4), [10**6])
    bench.run()
    assert [bench.stopped(n).halt for n in (1, 2)] == [Halt.DONE, Halt.FAILED]
    bench.check_ledger()


def test_a_batch_that_found_no_room_is_tried_one_by_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    """ENGINE.md 6, 8: return code 1 leaves the state as it was; who has no room alone ends, and says so."""
    bad = bench.model.tokenize("zebra")[0]
    fail_decode(bench, monkeypatch, bad, NO_ROOM)
    bench.submit(Job(1, Plain("x = "), 4))
    bench.submit(Job(2, Plain("zebra"), 4))
    bench.run()
    assert [bench.stopped(n).halt for n in (1, 2)] == [Halt.DONE, Halt.FAILED]
    assert "no room" in bench.stopped(2).detail
    bench.check_ledger()


def test_an_architecture_that_cannot_trim_starts_again(
    model: Model, context: Context, monkeypatch: pytest.MonkeyPatch
):
    """ENGINE.md 17: where the end of a sequence cannot be dropped, all of it is, and the answer is the same."""
    expected = Bench(model, context)
    expected.ask(1, SOURCE, tokens_max=6)
    remove = context.remove
    monkeypatch.setattr(context, "remove", lambda s, at, end=-1: at == 0 and remove(s, at, end))
    bench = Bench(model, context, abilities=Abilities(trim=False, shift=False, abort=False))
    for number in (1, 2):
        end = bench.ask(number, SOURCE, tokens_max=6)
        assert end.timings.cached_tokens == 0
        assert bench.tokens(number) == expected.tokens(1)
        bench.check_ledger()


@pytest.mark.parametrize("seed", range(4))
def test_the_ledger_says_what_llama_cpp_says_after_any_order_of_events(model: Model, seed: int):
    """ENGINE.md 5, 6, 8: random jobs, taken back at random; some steps are refused, some find no room."""
    chance = random.Random(seed)
    bench = Bench(model, make_context(model, cells=512, sequences=6))
    decode = bench.context.decode
    forced = random.Random(seed + 100)

    def sometimes_refused(feeds):
        code = forced.choice([NO_ROOM, -1, -3])
        return code if len(feeds) > 1 and forced.random() < 0.2 else decode(feeds)

    bench.context.decode = sometimes_refused
    texts = [SOURCE[: chance.randrange(20, 900)] for _ in range(6)]
    for number in range(1, 51):
        text = chance.choice(texts) + chance.choice(["", "x", "\n    "])
        prompt = Fim(text, SOURCE[:40]) if chance.random() < 0.5 else Plain(text)
        bench.submit(Job(number, prompt, chance.randrange(30), urgency=chance.randrange(3)))
        for _ in range(chance.randrange(6)):
            bench.step()
            bench.check_ledger()
        if chance.random() < 0.3:
            bench.frames += bench.batcher.stop(chance.randrange(1, number + 1))
    bench.run()
    bench.check_ledger()
    ends = [f.request_id for f in bench.frames if isinstance(f, Stopped)]
    assert sorted(ends) == list(range(1, 51)), "every job ends exactly once"
    assert {f.halt for f in bench.frames if isinstance(f, Stopped)} == {Halt.DONE, Halt.STOPPED}
