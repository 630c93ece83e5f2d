"""What a journal says of one request: every wait has its cause, every setback its beneficiary, every promise its verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.journal import Entry
from daemon.life import Life, kept
from daemon.lives import read_lives
from daemon.metrics import summarise
from policies.messages import (
    Arrived,
    Cancelled,
    End,
    EngineDied,
    Halt,
    Load,
    Loaded,
    Outcome,
    Park,
    Pause,
    Prepared,
    Reason,
    Start,
    Stepped,
    Stop,
    Stopped,
    Tick,
    Unload,
    Unloaded,
    Unpause,
)
from policies.request import CLASS_OF, PROMISE_OF, Class, Kind, Request
from tests.sim.simulator import Simulation
from tests.sim.workload import random_scene

DONE = (Outcome.DONE, Reason.COMPLETE)


def request(number: int, kind: Kind = Kind.CHAT, model: str = "m") -> Request:
    klass = CLASS_OF[kind]
    return Request(
        id=number,
        kind=kind,
        klass=klass,
        model=model,
        prompt_bytes=400,
        tokens_max=16,
        client="editor",
        promise=PROMISE_OF[klass],
    )


def start(number: int, model: str = "m") -> Start:
    return Start(number, model, urgency=3.0, slack_s=1.0)


def step(*ids: int, model: str = "m") -> Stepped:
    return Stepped(model, tuple((number, 1) for number in ids), 0, 0.05, 0)


def told(life: Life) -> list[tuple[str, str, int | None]]:
    return [(moment.what, moment.detail, moment.by) for moment in life.moments]


def test_a_plain_life() -> None:
    """Arrival, start, prompt, first token, end; times are of the entries that said so."""
    life = read_lives(
        [
            Entry(1.0, Loaded("m", 2, 0.1, 0), ()),
            Entry(5.0, Arrived(request(1)), (start(1),)),
            Entry(5.1, Prepared(1, 80, 30), ()),
            Entry(5.2, step(1), ()),
            Entry(5.3, step(1), ()),
            Entry(5.5, step(1), ()),
            Entry(5.6, Stopped(1, Halt.DONE), (End(1, *DONE),)),
        ]
    )[1]
    assert told(life) == [
        ("arrived", "", None),
        ("started", "", None),
        ("prepared", "80 prompt tokens, 30 of them cached", None),
        ("first token", "", None),
        ("done", "complete", None),
    ]
    assert life.since_arrival(life.first_s) == pytest.approx(0.2)
    assert life.since_arrival(life.ended_s) == pytest.approx(0.6)
    assert (life.output_tokens, life.gaps, life.waited_s) == (3, 2, 0.0)
    assert life.gap_max_s == pytest.approx(0.2)
    assert kept(life, now=9.0) is True


def test_waiting_for_memory_then_for_the_model() -> None:
    """Another model has to go first: until it is gone that is what is waited for."""
    life = read_lives(
        [
            Entry(0.0, Arrived(request(1)), (Unload("other"),)),
            Entry(0.1, Tick(), ()),
            Entry(0.5, Unloaded("other"), (Load("m"),)),
            Entry(2.0, Loaded("m", 2, 1.4, 0), (start(1),)),
        ]
    )[1]
    waits = [detail for what, detail, _ in told(life) if what == "waits"]
    assert waits == ["for a free sequence", "for its model to load"]
    assert life.waited_s == pytest.approx(2.0)


def test_a_model_that_was_unloaded_needs_memory() -> None:
    """What is known of the model decides what its requests wait for."""
    life = read_lives(
        [
            Entry(0.0, Unloaded("m"), ()),
            Entry(0.1, Arrived(request(1)), (Unload("other"),)),
        ]
    )[1]
    assert told(life)[-1] == ("waits", "for memory for its model", None)
    assert life.waited_until(1.1) == pytest.approx(1.0)


def test_waiting_for_a_sequence_for_the_urgent_and_for_a_turn() -> None:
    """The cause follows what stands in the way at that moment."""
    index, chat, key = request(1, Kind.INDEX), request(2), request(3, Kind.COMPLETE)
    lives = read_lives(
        [
            Entry(0.0, Loaded("m", 2, 0.1, 0), ()),
            Entry(0.1, Arrived(replace(index, id=10)), (start(10),)),
            Entry(0.2, Arrived(index), ()),
            Entry(0.3, Arrived(replace(chat, id=11)), (start(11),)),
            Entry(0.4, Arrived(chat), ()),
            Entry(0.5, Arrived(key), (Park(10, "m"),)),
            Entry(0.6, Stopped(10, Halt.PARKED), (start(3),)),
        ]
    )
    assert told(lives[1])[1:] == [
        ("waits", "for others to finish: no more of its class may run at once", None),
        ("waits", "for a free sequence", None),
        ("waits", "for more urgent work", None),
    ]
    assert told(lives[10])[2:] == [
        ("made way", "", 3),
        ("parked", "what it had computed is kept", None),
        ("waits", "for more urgent work", None),
    ]
    assert lives[3].waited_s == pytest.approx(0.1)


def test_a_worker_that_dies() -> None:
    """Who was inside is told so; all wait for the model again."""
    lives = read_lives(
        [
            Entry(0.0, Loaded("m", 2, 0.1, 0), ()),
            Entry(0.1, Arrived(request(1)), (start(1),)),
            Entry(0.2, Arrived(request(2)), (start(2),)),
            Entry(0.3, EngineDied("m", (2,)), (Load("m"),)),
            Entry(0.9, Loaded("m", 2, 0.1, 0), (replace(start(2), alone=True),)),
        ]
    )
    assert told(lives[1])[2:] == [
        ("its worker died", "", None),
        ("waits", "for its model to load", None),
        ("waits", "for others to finish: no more of its class may run at once", None),
    ]
    assert told(lives[2])[2] == ("its worker died", "in a step of this request", None)
    assert told(lives[2])[-1] == ("started", "alone, after a death", None)


def test_lesser_work_rests_in_its_sequence() -> None:
    """A pause is told once, with the request it is for, and its end; who has left by then is not told."""
    pause, key = Pause("m", below=4.0, progress_s=1.0), request(3, Kind.COMPLETE)
    lives = read_lives(
        [
            Entry(0.0, Loaded("m", 3, 0.1, 0), ()),
            Entry(0.1, Arrived(request(1)), (start(1),)),
            Entry(0.2, Arrived(request(2)), (start(2),)),
            Entry(0.3, Arrived(key), (start(3), pause)),
            Entry(0.4, Tick(), (pause,)),
            Entry(0.5, Stopped(2, Halt.DONE), (End(2, *DONE),)),
            Entry(0.6, Stopped(3, Halt.DONE), (End(3, *DONE), Unpause("m"))),
        ]
    )
    assert told(lives[1])[2:] == [("paused", "", 3), ("went on", "", None)]
    assert told(lives[2])[2:] == [("paused", "", 3), ("done", "complete", None)]
    assert [what for what, _, _ in told(lives[3])] == ["arrived", "started", "done"]


def test_a_withdrawal_is_one_end() -> None:
    """`Stop` and `End` of one entry are not told as making way, and its sequence counts until it is free."""
    lives = read_lives(
        [
            Entry(0.0, Loaded("m", 1, 0.1, 0), ()),
            Entry(0.1, Arrived(request(1)), (start(1),)),
            Entry(0.2, Arrived(request(2)), ()),
            Entry(0.3, Cancelled(1), (Stop(1, "m"), End(1, Outcome.CANCELLED, Reason.CLIENT))),
            Entry(0.4, Stopped(1, Halt.STOPPED), (start(2),)),
        ]
    )
    assert [what for what, _, _ in told(lives[1])] == ["arrived", "started", "cancelled"]
    assert told(lives[2])[1] == ("waits", "for a free sequence", None)
    assert lives[2].waited_s == pytest.approx(0.2)
    assert kept(lives[1], now=9.0) is None


def test_a_beginning_that_is_gone() -> None:
    """A token of an unknown life is no first token, and nothing is said of its promise."""
    lives = read_lives(
        [
            Entry(7.0, step(1), ()),
            Entry(7.1, step(1), ()),
            Entry(7.2, Stopped(1, Halt.DONE), (End(1, *DONE),)),
            Entry(7.3, Stopped(2, Halt.STOPPED), (start(2),)),
            Entry(7.4, EngineDied("m", ()), ()),
        ]
    )
    life = lives[1]
    assert (life.request, life.arrived_s, life.first_s) == (None, None, None)
    assert life.since_arrival(life.ended_s) is None
    assert life.output_tokens == 2
    assert kept(life, now=9.0) is None
    assert [what for what, _, _ in told(lives[2])] == ["started", "its worker died", "waits"]


@pytest.mark.parametrize(
    ("first_s", "ended_s", "end", "verdict"),
    [
        (0.2, 0.9, DONE, True),
        (0.4, 0.9, DONE, False),
        (0.2, 1.2, DONE, False),
        (None, 0.1, DONE, True),
        (None, 0.1, (Outcome.SUPERSEDED, Reason.NEWER), None),
        (None, 0.5, (Outcome.SUPERSEDED, Reason.NEWER), False),
        (None, 0.0, (Outcome.REFUSED, Reason.QUEUE_FULL), False),
        (None, 0.0, (Outcome.REFUSED, Reason.TOO_LONG), None),
        (None, None, None, None),
    ],
)
def test_the_promise_of_a_keystroke(first_s, ended_s, end, verdict) -> None:
    """0.3 s to the first token and 1 s in all; who leaves in time is owed nothing, who waited longer was."""
    life = Life(1, "m", request(1, Kind.COMPLETE), 0.0, first_s=first_s, ended_s=ended_s)
    if end:
        life.outcome, life.reason = end
    assert kept(life, now=0.25) is verdict


def test_a_promise_can_be_broken_before_the_end() -> None:
    """Nobody has to wait for an end that is late already."""
    life = Life(1, "m", request(1, Kind.COMPLETE), 0.0)
    assert kept(life, now=0.31) is False


@pytest.mark.parametrize(("late", "verdict"), [(1, True), (2, False)])
def test_one_pause_in_twenty_may_be_longer(late: int, verdict: bool) -> None:
    """A stream's promise is about its pauses too."""
    life = Life(1, "m", request(1), 0.0)
    now = 0.1
    life.take_tokens(1, now)
    for n in range(20):
        now += 0.3 if n < late else 0.2
        life.take_tokens(1, now)
    life.ended_s, (life.outcome, life.reason) = now, DONE
    assert kept(life, now) is verdict


def test_nothing_promised_is_nothing_kept() -> None:
    """Background work is done when it is done."""
    life = Life(1, "m", request(1, Kind.INDEX), 0.0, ended_s=900.0)
    life.outcome, life.reason = DONE
    assert kept(life, now=900.0) is None


@pytest.mark.parametrize("seed", range(30))
def test_random_days(seed: int) -> None:
    """Whole simulated days: each request arrives and ends once, waits no longer than it lives, and times agree with the metrics."""
    journal = list(Simulation(random_scene(seed)).run())
    lives = read_lives(journal)
    for life in lives.values():
        names = [moment.what for moment in life.moments]
        assert names[0] == "arrived"
        assert sum(name in set(Outcome) for name in names) == 1
        assert [m.at_s for m in life.moments] == sorted(m.at_s for m in life.moments)
        assert life.arrived_s is not None
        assert life.ended_s is not None
        assert life.waiting_since_s is None
        assert life.waited_s <= life.ended_s - life.arrived_s + 1e-9
        assert life.first_s is None or life.first_s <= life.ended_s
    done = [one for one in lives.values() if one.outcome is Outcome.DONE]
    of_class = summarise(journal).latencies.snapshot()
    assert sum(one.count for one in of_class.values()) == len(done)
    slowest = max(
        (one.ended_s - one.arrived_s for one in done if one.request.klass is Class.INTERACTIVE),
        default=0.0,
    )
    if Class.INTERACTIVE in of_class:
        assert slowest * 1e3 + 1e-6 >= of_class[Class.INTERACTIVE].e2e_p95_ms
    for cut in (len(journal) // 3, len(journal) // 2):
        assert set(read_lives(journal[cut:])) <= set(lives)
