"""A recorded run is played again from what people did in it: what the simulator leaves out shows as its error."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.journal import Entry
from engines.fake_knobs import Knobs
from policies.limits import Limits
from policies.messages import Arrived, Cancelled, Event, Prepared, Reason
from policies.request import CLASS_OF, PROMISE_OF, Class, Kind, Request
from tests.sim.against_live import compare, pace, scene_of, table
from tests.sim.machines import TWO_CORES
from tests.sim.simulator import Scene, Simulation
from tests.sim.test_promises import coder

KNOBS = Knobs(step_s=TWO_CORES.step_s, abort_s=TWO_CORES.abort_ms / 1e3, load_s=0.5)


def ask(number: int, kind: Kind, *, size: int, tokens: int, client: str) -> Event:
    klass = CLASS_OF[kind]
    promise = PROMISE_OF[klass]
    return Arrived(Request(number, kind, klass, "coder", size, tokens, client, promise=promise))


@pytest.fixture(scope="module")
def recorded() -> list[Entry]:
    """The journal of a run that stands for a live one: keystrokes beside an index, two of them withdrawn."""
    outer = [(0.1 * n, ask(n, Kind.INDEX, size=1200, tokens=30, client=f"i{n}")) for n in (1, 2, 3)]
    outer += [
        (1.0 + n, ask(10 + n, Kind.COMPLETE, size=400 + 20 * n, tokens=8, client="editor"))
        for n in range(8)
    ]
    outer += [(5.01, Cancelled(14)), (6.2, Cancelled(15, Reason.ENOUGH))]
    outer.sort(key=lambda timed: timed[0])
    scene = Scene((coder(),), Limits(), tuple(outer), knobs=lambda _model, _load: KNOBS)
    return list(Simulation(scene).run())


def prepared(entries: list[Entry]) -> list[Event]:
    return [entry.event for entry in entries if isinstance(entry.event, Prepared)]


def test_prompts_are_as_long_and_as_cached_as_they_were(recorded) -> None:
    """Though the journal holds no text: others are made that have as much in common."""
    again = list(Simulation(scene_of(recorded, TWO_CORES)).run())
    assert any(event.cached_tokens for event in prepared(recorded))
    assert prepared(again) == prepared(recorded)


def test_the_same_machine_gives_the_same_latencies(recorded) -> None:
    """Everything that they depend on is in the journal or in the machine."""
    compared = compare(recorded, TWO_CORES)
    assert {one.klass for one in compared} == {Class.INTERACTIVE, Class.BACKGROUND}
    assert all(abs(one.error) < 0.02 for one in compared), table(compared)


def test_another_machine_shows_as_an_error(recorded) -> None:
    """In its pace, and in the table beside each figure."""
    slower = TWO_CORES.slowed(2)
    assert pace(recorded, slower) == pytest.approx(pace(recorded, TWO_CORES) / 2)
    assert 1 <= pace(recorded, TWO_CORES) < 1.5, "attention is extra"
    whole = [one for one in compare(recorded, slower) if one.figure == "e2e_p50_ms"]
    assert all(one.error > 0.2 for one in whole)
    assert f"{whole[0].error:+.0%}" in table(whole)


def test_a_machine_knows_sizes_that_were_not_measured() -> None:
    """Between two points on a line, beyond the ends in proportion; attention is on top."""
    machine = replace(TWO_CORES, decode_ms=((1, 10.0), (3, 20.0)), ns_per_token_cell=1e6, cells=5)
    assert machine.step_s(rows=2, tokens_each=1, longest_cells=5) == 0.015
    assert machine.step_s(rows=6, tokens_each=1, longest_cells=5) == 0.04
    assert machine.step_s(rows=1, tokens_each=1, longest_cells=9) == 0.014
