"""Whoever waits is served though others keep coming: nobody's flood hides, overtakes or outwaits another for ever."""

from __future__ import annotations

from policies.admissions import PATIENCE_S
from policies.candidate import Candidate
from policies.dispatch import WINDOW
from policies.lengths import SEEN_MIN
from policies.messages import EngineDied, Halt, Stepped, Stopped
from policies.request import Class, Kind
from policies.saber import Saber
from tests.policies.machine import Machine, ask, numbers
from tests.policies.test_admissions import measured, started


def test_a_long_chat_starts_though_short_ones_keep_coming() -> None:
    """Patience is asked before who fits: one short chat always would."""
    machine = measured()
    running = [1]
    machine(ask(1, Kind.CHAT), Stepped("m", ((1, 1),), 0, 0.1, 0))
    for number in (2, 3):
        running += started(machine(ask(number, Kind.CHAT)))
        machine(Stepped("m", ((number, 1),), 0, 0.1, 0))
    running += started(machine(ask(4, Kind.CHAT, prompt_bytes=30_000)))
    for number in range(5, 40):
        machine(ask(number, Kind.CHAT))
        machine.wait(1.0)
        running += started(machine(Stopped(running.pop(0), Halt.DONE)))
        running += started(machine(Stepped("m", ((running[-1], 1),), 0, 0.1, 0)))
        if 4 in running:
            break
    assert machine.now <= PATIENCE_S[Class.FOREGROUND] + 3.0


def test_who_must_be_alone_is_not_passed_by_those_behind() -> None:
    """Else the sequences would never be empty."""
    machine = Machine()
    machine(ask(1, Kind.CHAT))
    machine.load(sequences=2)
    machine(EngineDied("m", inside=(1,)), ask(2))
    assert numbers(machine.load(sequences=2)) == [("Start", 2)]
    machine(ask(3, Kind.INDEX))
    assert numbers(machine(Stopped(2, Halt.DONE))) == [("End", 2), ("Start", 1)]


def test_who_is_alone_makes_way_for_a_keystroke() -> None:
    """A keystroke never waits behind lesser work."""
    machine = Machine()
    machine(ask(1, Kind.CHAT))
    machine.load(sequences=2)
    machine(EngineDied("m", inside=(1,)))
    assert numbers(machine.load(sequences=2)) == [("Start", 1)]
    assert numbers(machine(ask(2))) == [("Park", 1), ("Start", 2)]
    machine(Stopped(1, Halt.PARKED))
    assert numbers(machine(Stopped(2, Halt.DONE))) == [("End", 2), ("Start", 1)]


def test_a_flood_of_chats_does_not_hide_background_work() -> None:
    """A sequence that chats may not take is taken, however many of them wait."""
    machine = Machine()
    for number in range(1, WINDOW + 10):
        machine(ask(number, Kind.CHAT))
    assert numbers(machine.load(sequences=2)) == [("Start", 1)]
    assert numbers(machine(ask(1000, Kind.INDEX))) == [("Start", 1000)]


def test_refused_requests_teach_nothing_of_the_length_of_answers() -> None:
    """They had no answer."""
    machine = Machine()
    machine(ask(1000, Kind.CHAT))
    machine.load()
    for number in range(SEEN_MIN + 1):
        machine(ask(number, Kind.CHAT), Stopped(number, Halt.INVALID, too_long=True))
    lengths = machine.scheduler._dispatch._lengths
    assert lengths.expected(Kind.CHAT, tokens_max=500) == 500


class _Slow:
    """A second a token, so that no promise can be kept."""

    def decode_per_s(self, sequences: int) -> float:
        return 1.0 / sequences

    def prefill_s(self, tokens: int) -> float:
        return float(tokens)


def test_a_turn_ends_when_its_request_waits_again() -> None:
    """It was parked: patience is for whoever waits, itself included."""

    def hopeless(number: int) -> Candidate:
        return Candidate(number, Class.DEFERRED, 0.0, None, 1.0, 10, 10.0, 10)

    tight = Candidate(9, Class.DEFERRED, 0.0, None, 200.0, 0, 100.0, 100)
    saber = Saber(_Slow(), patience_s=5.0)
    assert saber.next([hopeless(1)], [tight], now=6.0).start == 1
    assert saber.next([hopeless(1)], [tight], now=7.0).start == 1
