"""Who leaves memory: the terms of a loss one by one, the set they come to, and the plain orders beside it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.baselines import Holder, lru_victims
from policies.cace import PATIENCE_MAX_S, RESIDENCY_MIN_S, Cace, terms_of
from policies.cace_published import PUBLISHED, score
from policies.eviction import Demand, Eviction, Resident
from policies.evictions_plain import KEEP_ALIVE, LARGEST, LFU, LRU
from policies.request import Class

NOW = 1000.0
ASKED = Demand(model="new", by=Class.FOREGROUND, since_s=NOW)
PLAIN = Resident(
    "plain",
    need_bytes=10,
    used_s=900.0,
    loaded_s=0.0,
    served=3,
    reload_s=2.0,
    uses=5.0,
    classes=((Class.FOREGROUND, 1.0),),
    tokens=100.0,
)


def victims(way: Eviction, residents: list[Resident], shortfall: int, demand: Demand = ASKED):
    choice = way.choose(residents, shortfall, demand, NOW)
    return None if choice is None else choice.victims


def two(**other) -> list[Resident]:
    """A model and one that differs from it so; its name sorts before, so a tie would let it go."""
    return [replace(PLAIN, name="differs", **other), PLAIN]


@pytest.mark.parametrize(
    ("other", "demand"),
    [
        ({"reload_s": 9.0}, {}),  # dear to load
        ({"kept_s": 3.0}, {}),  # holds what would have to be computed again
        ({"classes": ((Class.INTERACTIVE, 1.0),)}, {}),  # serves keystrokes
        ({"classes": ((Class.FOREGROUND, 0.5), (Class.INTERACTIVE, 0.5))}, {}),  # or some
        ({"tokens": 10.0}, {}),  # its short answers are hurt more by a late start
        ({"busy": Class.BACKGROUND}, {}),  # it would have to be parked
        ({}, {"queued": ("new", "differs")}),  # somebody waits for it
        ({}, {"queued": ("differs", "plain")}),  # for the other one, somebody further back
        ({}, {"chains": ("differs",)}),  # the next call of a chain
        ({}, {"editors": frozenset({"differs"})}),  # a document is open that uses it
        ({}, {"habit": {"differs": 0.5}}),  # its pauses are short
        ({}, {"order": {"differs": 0.5}}),  # it comes after the one that is loaded
    ],
)
def test_the_other_leaves(other: dict, demand: dict) -> None:
    """Each source of a loss, all else being equal, keeps a model."""
    assert victims(Cace(), two(**other), 10, replace(ASKED, **demand)) == ("plain",)


@pytest.mark.parametrize("busy", [Class.INTERACTIVE, Class.FOREGROUND])
def test_what_cannot_be_parked_costs_more_than_what_can(busy: Class) -> None:
    """What runs there is as urgent as who waits, so that it would be waited for."""
    parked = terms_of(replace(PLAIN, busy=Class.DEFERRED), ASKED)
    awaited = terms_of(replace(PLAIN, busy=busy), ASKED)
    assert awaited.busy > parked.busy > terms_of(PLAIN, ASKED).busy


def test_two_cheap_ones_leave_rather_than_one_dear() -> None:
    """The smallest sum decides, not the smallest count nor the single one that would do."""
    dear = replace(PLAIN, name="dear", need_bytes=20, reload_s=30.0)
    cheap = [replace(PLAIN, name=name) for name in ("one", "two")]
    assert victims(Cace(), [dear, *cheap], 20) == ("one", "two")
    assert victims(Cace(), [replace(dear, reload_s=3.0), *cheap], 20) == ("dear",)


def test_who_just_came_stays_for_a_while() -> None:
    """Ten seconds, or one answer; before a keystroke it goes all the same."""
    fresh = replace(PLAIN, name="fresh", loaded_s=NOW - 1, served=0, reload_s=0.1)
    assert victims(Cace(), [fresh, PLAIN], 10) == ("plain",)
    assert victims(Cace(), [fresh], 10) is None
    assert victims(Cace(), [replace(fresh, served=1), PLAIN], 10) == ("fresh",)
    long_ago = replace(fresh, loaded_s=NOW - RESIDENCY_MIN_S)
    assert victims(Cace(), [long_ago, PLAIN], 10) == ("fresh",)
    keystroke = replace(ASKED, by=Class.INTERACTIVE)
    assert victims(Cace(), [fresh, PLAIN], 10, keystroke) == ("fresh",)


def test_who_is_promised_nothing_waits_for_what_it_costs() -> None:
    """The dearer the victims, the longer, and never beyond a bound; who is promised something does not wait."""
    habit = {"plain": 1.0}
    background = replace(ASKED, by=Class.BACKGROUND, habit=habit)

    def waits_s(one: Resident, demand: Demand) -> float:
        choice = Cace().choose([one], 10, demand, NOW)
        assert choice
        return choice.from_s - demand.since_s

    assert waits_s(PLAIN, replace(ASKED, habit=habit)) == 0
    assert 0 < waits_s(PLAIN, background) < waits_s(replace(PLAIN, reload_s=2.5), background)
    assert waits_s(replace(PLAIN, reload_s=1e6), background) == PATIENCE_MAX_S


def test_the_sheet_tells_why() -> None:
    """Every resident has a line: its terms, what they come to, whether it leaves or why it cannot."""
    pinned = replace(PLAIN, name="pinned", pinned=True)
    choice = Cace().choose([pinned, PLAIN], 5, ASKED, NOW)
    assert choice
    kept, left = choice.sheet.lines
    assert (kept.name, kept.leaves, kept.kept_for) == ("pinned", False, "pinned")
    assert (left.name, left.leaves, left.kept_for) == ("plain", True, "")
    terms = dict(left.terms)
    cost_s = terms.pop("reload_s") + terms.pop("kept_s")
    for factor in terms.values():
        cost_s *= factor
    assert left.total == pytest.approx(cost_s)
    assert (choice.sheet.at_s, choice.sheet.shortfall_bytes) == (NOW, 5)


@pytest.mark.parametrize(
    ("way", "other"),
    [
        (LRU, {"used_s": 800.0}),
        (LFU, {"uses": 1.0}),
        (LARGEST, {"need_bytes": 11}),
        (KEEP_ALIVE, {"keep_alive_s": 60.0}),
    ],
)
def test_the_plain_orders(way: Eviction, other: dict) -> None:
    """The one with the smaller rank leaves, but after every idle one if it is busy."""
    last = replace(PLAIN, name="zz", **other)
    assert victims(way, [PLAIN, last], 10) == ("zz",)
    assert victims(way, [PLAIN, replace(last, busy=Class.BACKGROUND)], 10) == ("plain",)


@pytest.mark.parametrize(
    ("other", "demand"),
    [
        ({"used_s": 10.0}, {}),  # used long ago
        ({"reload_s": 0.5}, {}),  # cheap to load
        ({}, {"queued": ("new", "plain")}),  # the other one is needed ahead
        ({"classes": ((Class.DEFERRED, 1.0),)}, {}),  # its tasks can wait
        ({"tokens": 900.0}, {}),  # its answers are long
    ],
)
def test_the_published_score(other: dict, demand: dict) -> None:
    """Each of its terms, all else being equal, makes a model leave: the highest score does."""
    last = replace(PLAIN, name="zz", **other)
    demand = replace(ASKED, **demand)
    assert victims(PUBLISHED, [PLAIN, last], 10, demand) == ("zz",)
    assert score(last, demand) > score(PLAIN, demand)


RESIDENTS = st.lists(
    st.builds(
        Resident,
        name=st.sampled_from("abcdefgh"),
        need_bytes=st.integers(1, 20),
        used_s=st.floats(0, NOW),
        loaded_s=st.floats(0, NOW),
        served=st.integers(0, 2),
        reload_s=st.floats(0.1, 60),
        busy=st.none() | st.sampled_from(Class),
        uses=st.floats(0, 100),
        classes=st.sampled_from(Class).map(lambda klass: ((klass, 1.0),)),
        tokens=st.floats(0, 2000),
        kept_s=st.floats(0, 30),
        pinned=st.booleans(),
    ),
    unique_by=lambda one: one.name,
    max_size=7,
)
DEMANDS = st.builds(
    Demand,
    model=st.just("new"),
    by=st.sampled_from(Class),
    since_s=st.floats(0, NOW),
    queued=st.lists(st.sampled_from("abcdefgh"), max_size=4).map(tuple),
    editors=st.frozensets(st.sampled_from("abcdefgh"), max_size=2),
    order=st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 1)),
)


def is_fresh(one: Resident, demand: Demand) -> bool:
    """Whether our own way lets it stay because it has not served anybody yet."""
    young = one.served == 0 and NOW - one.loaded_s < RESIDENCY_MIN_S
    return young and demand.by is not Class.INTERACTIVE


WAYS = {
    "hearth": Cace(),
    "published": PUBLISHED,
    "lru": LRU,
    "lfu": LFU,
    "largest": LARGEST,
    "keep-alive": KEEP_ALIVE,
}


@pytest.mark.parametrize("name", WAYS)
@given(residents=RESIDENTS, shortfall=st.integers(1, 80), demand=DEMANDS)
def test_enough_leaves_and_no_pinned_one(
    name: str, residents: list[Resident], shortfall: int, demand: Demand
) -> None:
    """What is chosen frees enough and may leave; where nothing is chosen, all together would not; and it is always the same."""
    way: Eviction = WAYS[name]
    choice = way.choose(residents, shortfall, demand, NOW)
    assert choice == way.choose(residents, shortfall, demand, NOW)
    named = {one.name: one for one in residents}
    if choice is None:
        fresh = [one for one in residents if name == "hearth" and is_fresh(one, demand)]
        free = [one for one in residents if not one.pinned and one not in fresh]
        assert sum(one.need_bytes for one in free) < shortfall
        return
    assert sum(named[name].need_bytes for name in choice.victims) >= shortfall
    assert not any(named[name].pinned for name in choice.victims)
    assert {line.name for line in choice.sheet.lines if line.leaves} == set(choice.victims)


@given(residents=RESIDENTS, shortfall=st.integers(1, 80), demand=DEMANDS)
def test_no_other_set_would_cost_less(
    residents: list[Resident], shortfall: int, demand: Demand
) -> None:
    """Against every set there is."""
    choice = Cace().choose(residents, shortfall, demand, NOW)
    if choice is None:
        return
    lines = {line.name: line for line in choice.sheet.lines}
    free = [one for one in residents if not lines[one.name].kept_for]
    sums = [
        sum(lines[one.name].total for one in chosen)
        for count in range(len(free) + 1)
        for chosen in combinations(free, count)
        if sum(one.need_bytes for one in chosen) >= shortfall
    ]
    assert sum(lines[name].total for name in choice.victims) == pytest.approx(min(sums))


@given(residents=RESIDENTS, shortfall=st.integers(1, 80))
def test_lru_is_the_one_in_use(residents: list[Resident], shortfall: int) -> None:
    """The yardstick is what the product did before."""
    free = [one for one in residents if not one.pinned]
    holders = [Holder(one.name, one.need_bytes, one.used_s, one.busy is not None) for one in free]
    before = lru_victims(holders, shortfall_bytes=shortfall)
    assert victims(LRU, residents, shortfall) == (before and tuple(one.name for one in before))
