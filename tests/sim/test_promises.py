"""What the rules are worth in virtual time: figures from journals, under one set of knobs."""

from __future__ import annotations

from daemon.metrics import Summary, summarise
from daemon.snapshot import LatencySnapshot
from engines.fake_knobs import Knobs, steady
from policies.limits import Limits
from policies.messages import Arrived, Event
from policies.request import CLASS_OF, PROMISE_OF, Class, Kind, Place, Request
from policies.view import ModelView
from tests.sim.simulator import Scene, Simulation

KNOBS = Knobs(step_s=steady(tokens_per_s=50, prefill_tokens_per_s=500), sequences=2)
"""A small model on a laptop: 20 ms a token, 64 ms a chunk."""
CHUNK_S = 32 / 500
STEP_S = 1.1 / 50


def coder(name: str = "coder") -> ModelView:
    return ModelView(name, frozenset(Kind), frozenset(), need_bytes=1, sequences=0)


def arrivals(
    kind: Kind, times_s: list[float], first: int, *, tokens: int, model: str = "coder"
) -> list[tuple[float, Event]]:
    """One client asks at these times; each prompt begins with the one before."""
    return [
        (
            at_s,
            Arrived(
                Request(
                    id=first + n,
                    kind=kind,
                    klass=CLASS_OF[kind],
                    model=model,
                    prompt_bytes=400 + 4 * n,
                    tokens_max=tokens,
                    client=kind,
                    place=Place("document", 1) if kind is Kind.COMPLETE else None,
                    promise=PROMISE_OF[CLASS_OF[kind]],
                )
            ),
        )
        for n, at_s in enumerate(times_s)
    ]


def play(
    *outer: list[tuple[float, Event]], models: tuple[ModelView, ...] = (coder(),), memory: int = 1
) -> Summary:
    """The journal's summary; every request must have ended done."""
    events = sorted((event for part in outer for event in part), key=lambda timed: timed[0])
    limits = Limits(memory_bytes=memory)
    scene = Scene(models, limits, tuple(events), knobs=lambda _model, _load: KNOBS)
    summary = summarise(Simulation(scene).run())
    assert summary.ended == {"done": len(events)}
    return summary


def interactive(summary: Summary) -> LatencySnapshot:
    return summary.latencies.snapshot()[Class.INTERACTIVE]


def test_background_work_delays_a_keystroke_by_one_step() -> None:
    """An index that fills the machine costs a completion no more than the steps it shares with it."""
    keys = arrivals(Kind.COMPLETE, [1.0 + n for n in range(20)], 1, tokens=8)
    alone = interactive(play(keys))
    index = arrivals(Kind.INDEX, [0.0] * 20, 100, tokens=60)
    beside = interactive(play(keys, index))
    assert alone.ttft_p95_ms is not None
    assert beside.ttft_p95_ms is not None
    shared_ms = (CHUNK_S + 4 * STEP_S) * 1e3
    assert beside.ttft_p95_ms <= alone.ttft_p95_ms + shared_ms


def test_a_keystroke_does_not_wait_for_chats() -> None:
    """Though more chats wait than there are sequences."""
    keys = arrivals(Kind.COMPLETE, [1.0 + n for n in range(10)], 1, tokens=8)
    chats = arrivals(Kind.CHAT, [0.0] * 10, 100, tokens=100)
    ttft_ms = interactive(play(keys, chats)).ttft_p95_ms
    assert ttft_ms is not None
    assert ttft_ms <= PROMISE_OF[Class.INTERACTIVE].first_token_s * 1e3


def test_two_models_in_turn_are_swapped_by_the_burst() -> None:
    """Twenty requests in turn for two models of which one fits: loads are shared, not paid for each."""
    times_s = [0.05 * n for n in range(10)]
    first = arrivals(Kind.CHAT, times_s, 1, tokens=8, model="coder")
    second = arrivals(Kind.CHAT, times_s, 100, tokens=8, model="other")
    summary = play(first, second, models=(coder(), coder("other")))
    assert summary.loads <= 4
