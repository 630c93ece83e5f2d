"""Hearth's own admission, alone and in the scheduler: who is held for whose promise, and for how long."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.admissions import PATIENCE_S, PromiseKeeper
from policies.candidate import Candidate
from policies.messages import (
    Action,
    Arrived,
    End,
    Event,
    Halt,
    Loaded,
    Park,
    Prepared,
    Start,
    Stepped,
    Stopped,
    Tick,
)
from policies.request import Class, Kind, Promise
from policies.speed import Load
from policies.step_model import StepModel
from tests.policies.machine import Machine, ask, numbers

DECODE_S = 0.1
"""A decode step, of each of its rows."""
PROMPT_TOKEN_S = 0.01
ROWS_MAX = 8
BY_HAND = 1e9
"""Nobody of the scheduler's own patience comes in between."""


def measured() -> Machine:
    """A model whose steps are known: k rows decode in k * 0.1 s, a prompt's token takes 0.01 s. Nobody runs."""
    machine = Machine(patience_s=BY_HAND)
    machine(ask(1000, Kind.INDEX))
    machine.load(sequences=4)
    for _ in range(30):
        for tokens in (10, 50, 100, 128):
            machine(Stepped("m", (), tokens, tokens * PROMPT_TOKEN_S, 0))
        for rows in range(1, ROWS_MAX + 1):
            machine(Stepped("m", tuple((-n, 1) for n in range(1, rows + 1)), 0, rows * DECODE_S, 0))
    machine(Stopped(1000, Halt.DONE))
    return machine


def costs() -> StepModel:
    """The same steps, where no scheduler learns them."""
    model = StepModel()
    for _ in range(30):
        for tokens in (10, 50, 100, 128):
            model.observe(Load(prefill_tokens=tokens), tokens * PROMPT_TOKEN_S)
        for rows in range(1, ROWS_MAX + 1):
            model.observe(Load(sequences=rows), rows * DECODE_S)
    return model


def candidate(
    number, klass, *, at_s=0.0, first_s=None, whole_s=None, prompt_tokens=100, tokens=16
) -> Candidate:
    """One that arrived at `at_s` and was promised something so many seconds from then."""
    return Candidate(
        id=number,
        klass=klass,
        arrived_s=at_s,
        first_due_s=None if first_s is None else at_s + first_s,
        whole_due_s=None if whole_s is None else at_s + whole_s,
        prompt_tokens=prompt_tokens,
        tokens=tokens,
        tokens_max=tokens,
    )


def speak(machine: Machine, number: int, *, at_s: float) -> None:
    """Time passes, every wake-up included, and a request gets its first token."""
    while (due_s := machine.scheduler.next_wakeup()) is not None and due_s <= at_s:
        machine.now = due_s
        assert machine(Tick()) == []
    machine.now = at_s
    machine(Stepped("m", ((number, 1),), 0, DECODE_S, 0))


def wake(machine: Machine) -> tuple[float, list[int]]:
    """The next wake-up, and who starts at it."""
    due_s = machine.scheduler.next_wakeup()
    assert due_s is not None
    machine.now = due_s
    return due_s, started(machine(Tick()))


def started(actions: list) -> list[int]:
    """Who starts, of these actions."""
    return [action.request_id for action in actions if isinstance(action, Start)]


def within(number: int, whole_s: float) -> Arrived:
    """A translation of 133 prompt tokens and 16 output tokens: 2.93 s of work, in so many seconds."""
    return ask(number, Kind.TRANSLATE, promise=Promise(whole_s=whole_s))


def test_who_would_break_a_running_ones_promise_is_held() -> None:
    """Two together take 5.9 s, which the first has not; when it has ended the other starts, and until then a clock is named."""
    machine = measured()
    assert started(machine(within(1, 4.0))) == [1]
    assert started(machine(within(2, 12.0))) == []
    due_s = machine.scheduler.next_wakeup()
    assert due_s is not None
    assert 8.0 < due_s < 10.0
    machine.wait(1.0)
    assert started(machine(Tick())) == []
    assert started(machine.wait(2.0)(Stopped(1, Halt.DONE))) == [2]


def test_who_breaks_nothing_starts() -> None:
    """The same two, where the first was promised less."""
    machine = measured()
    machine(within(1, 8.0))
    assert started(machine(within(2, 12.0))) == [2]


def test_who_cannot_be_served_in_time_starts_where_that_breaks_nothing() -> None:
    """Best effort: 2 s are too few for 2.9 s of work even alone."""
    machine = measured()
    machine(within(1, 8.0))
    assert started(machine(within(2, 2.0))) == [2]


def test_who_cannot_be_served_in_time_waits_behind_who_can() -> None:
    """The third would break nothing that the second would not, but the second can still be kept."""
    machine = measured()
    machine(within(1, 4.0), within(2, 12.0))
    assert started(machine(within(3, 1.0))) == []
    assert started(machine(Stopped(1, Halt.DONE)))[0] == 2


def test_a_chat_is_not_held_for_a_translation() -> None:
    """Its steps go before the translation's, whatever that was promised."""
    machine = measured()
    machine(within(1, 4.0))
    assert started(machine(ask(2, Kind.CHAT))) == [2]


def test_a_chat_is_held_for_a_chat() -> None:
    """Its prompt would make the first's late; background work starts meanwhile, since it makes way."""
    machine = measured()
    machine(ask(1, Kind.CHAT))
    assert started(machine(ask(2, Kind.CHAT))) == []
    assert started(machine(ask(3, Kind.INDEX), ask(4, Kind.INDEX), ask(5, Kind.INDEX))) == [5]
    assert numbers(machine(Stopped(1, Halt.DONE))) == [("End", 1), ("Start", 2)]


def test_background_work_makes_way_for_who_was_held() -> None:
    """All sequences are taken when the held chat may start."""
    machine = measured()
    machine(ask(1, Kind.CHAT), ask(2, Kind.CHAT))
    machine(*(ask(number, Kind.INDEX) for number in (3, 4, 5, 6)))
    machine.now = PATIENCE_S[Class.FOREGROUND]
    assert numbers(machine(Tick())) == [("Park", 5), ("Start", 2)]


def test_no_translation_takes_the_sequence_that_a_chat_is_held_for() -> None:
    """Though it would break nothing; background work may."""
    chats = [
        candidate(1, Class.FOREGROUND, first_s=1.5),
        candidate(2, Class.FOREGROUND, first_s=1.5),
    ]
    little = candidate(3, Class.DEFERRED, whole_s=12.0, prompt_tokens=0, tokens=1)
    lesser = candidate(4, Class.BACKGROUND)
    keeper = PromiseKeeper(costs())
    assert keeper.next([little], chats[:1], now=0.0).start == 3
    held = keeper.next([chats[1], little], chats[:1], now=0.0)
    assert held.start is None
    assert held.wake_s is not None
    assert keeper.next([chats[1], little, lesser], chats[:1], now=0.0).start == 4


def test_a_held_chat_starts_as_soon_as_the_other_has_its_first_token() -> None:
    """A step that says so is all it takes: nobody has to leave, and no time to come."""
    machine = measured()
    machine(ask(1, Kind.CHAT))
    assert machine(ask(2, Kind.CHAT)) == []
    assert machine(Stepped("m", (), 10, 0.1, 0)) == []
    assert numbers(machine(Stepped("m", ((1, 1),), 100, 1.0, 0))) == [("Start", 2)]


def test_a_held_chat_starts_when_it_has_waited_long_enough() -> None:
    """By the clock alone, although the one that runs loses its promise by it."""
    machine = measured()
    machine(ask(1, Kind.CHAT, promise=Promise(whole_s=5.0)))
    assert started(machine(ask(2, Kind.CHAT))) == []
    speak(machine, 1, at_s=1.4)
    assert wake(machine) == (PATIENCE_S[Class.FOREGROUND], [2])


def test_a_held_translation_starts_when_it_has_waited_long_enough() -> None:
    """It waits longer than a chat: nobody looks on."""
    machine = measured()
    machine(within(1, 18.0), Prepared(1, 1500, 0))
    assert started(machine(within(2, 2.0))) == []
    speak(machine, 1, at_s=14.0)
    assert wake(machine) == (PATIENCE_S[Class.DEFERRED], [2])


def test_nobody_is_held_before_a_step_was_measured() -> None:
    """What is not known is no reason to let anybody wait; one sequence stays for keystrokes."""
    machine = Machine()
    machine(*(ask(number, Kind.CHAT) for number in (1, 2, 3, 4)))
    assert started(machine.load(sequences=4)) == [1, 2, 3]


@given(
    st.sampled_from([Class.FOREGROUND, Class.DEFERRED]),
    st.integers(0, 500),
    st.integers(1, 500),
    st.none() | st.floats(-5, 60),
    st.none() | st.floats(-5, 60),
    st.floats(0, 1e6),
)
def test_alone_on_an_idle_model_nobody_is_held(
    klass, prompt_tokens, tokens, first_s, whole_s, now
) -> None:
    """Whatever it was promised, and however late it is."""
    one = candidate(
        1,
        klass,
        at_s=now,
        first_s=first_s,
        whole_s=whole_s,
        prompt_tokens=prompt_tokens,
        tokens=tokens,
    )
    assert PromiseKeeper(costs()).next([one], [], now=now).start == 1


class Day:
    """Requests that take a known time each, however many run; wake-ups come when they are asked for."""

    def __init__(self, sequences: int) -> None:
        self.machine = measured()
        self.machine.scheduler.handle(Loaded("m", sequences, 1.0, 0), now=0.0)
        self.started_s: dict[int, float] = {}
        self.ended: set[int] = set()
        self.ticks = 0

    def play(self, asked: list[tuple[Kind, float, float]]) -> None:
        """Everybody asks at his time and runs for his time: (kind, when, how long)."""
        due: list[tuple[float, int, Event]] = []
        for number, (kind, at_s, _) in enumerate(asked, 1):
            heappush(due, (at_s, number, ask(number, kind)))
        while due or self.machine.scheduler.next_wakeup() is not None:
            wakeup_s = self.machine.scheduler.next_wakeup()
            if wakeup_s is not None and (not due or wakeup_s < due[0][0]):
                assert wakeup_s >= self.machine.now
                self.machine.now, event = wakeup_s, Tick()
                self.ticks += 1
            else:
                self.machine.now, _, event = heappop(due)
            for action in self.machine(event):
                self._happen(action, asked, due)

    def _happen(self, action: Action, asked, due) -> None:
        now = self.machine.now
        match action:
            case Start(number):
                self.started_s.setdefault(number, now)
                heappush(due, (now + asked[number - 1][2], number, Stopped(number, Halt.DONE)))
            case Park(number):
                due[:] = [one for one in due if one[1] != number]
                heapify(due)
                heappush(due, (now, number, Stopped(number, Halt.PARKED)))
            case End(number):
                assert number not in self.ended
                self.ended.add(number)


@given(
    st.integers(1, 12),
    st.lists(
        st.tuples(
            st.sampled_from([Kind.COMPLETE, Kind.CHAT, Kind.TRANSLATE, Kind.INDEX]),
            st.floats(0, 20),
            st.floats(0.05, 8),
        ),
        min_size=1,
        max_size=10,
    ),
)
@settings(max_examples=150)
def test_everybody_is_served_and_nobody_is_held_for_ever(sequences, asked) -> None:
    """Where there are sequences enough, a wait is at most the class's patience and the turns of those before.

    While a chat is held no translation starts, so a translation's wait has the chats' patience in it too.
    """
    day = Day(sequences)
    day.play(asked)
    assert day.ended == set(range(1, len(asked) + 1))
    assert day.ticks <= 4 * len(asked) ** 2
    if sequences < 12:
        return
    turns_s = sum(lasts_s for kind, _, lasts_s in asked if kind in (Kind.CHAT, Kind.TRANSLATE))
    chats_s = PATIENCE_S[Class.FOREGROUND] * sum(kind is Kind.CHAT for kind, _, _ in asked)
    for number, (kind, at_s, _) in enumerate(asked, 1):
        waited_s = day.started_s[number] - at_s
        most_s = {
            Kind.COMPLETE: 0.0,
            Kind.INDEX: 0.0,
            Kind.CHAT: PATIENCE_S[Class.FOREGROUND] + turns_s,
            Kind.TRANSLATE: PATIENCE_S[Class.DEFERRED] + chats_s + turns_s,
        }[kind]
        assert waited_s <= most_s


def test_the_end_of_a_turn_is_a_wake_up() -> None:
    """Background work that had waited too long makes way for nobody, but a keystroke waits no longer than that."""
    machine = Machine(patience_s=60.0, turn_s=5.0)
    machine(ask(1, Kind.CHAT))
    machine.load(sequences=1)
    machine(ask(2, Kind.INDEX))
    machine.now = 61.0
    assert started(machine(Stopped(1, Halt.DONE))) == [2]
    assert machine(ask(3)) == []
    assert machine.scheduler.next_wakeup() == 66.0
    machine.now = 66.0
    assert numbers(machine(Tick())) == [("Park", 2), ("Start", 3)]
