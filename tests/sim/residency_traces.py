"""Days of mixed work over several models, as data: what comes when, for which model, and which documents are open.

Every trace is a function of a seed. Times are seconds of the day; a use that follows on another comes when that one
has ended and its person has thought.

    person     one language, chat and review: 3 models
    tight      the same with room for the largest alone: nothing to choose
    polyglot   Python in the morning, reviews, then Rust, then documentation: 6 models
    team       three people, each with habits of their own: 8 models
    agents     chains of plan, code, test and summary among keystrokes: 5 models
    indexer    background work for two small models all day, beside a person: 5 models
    zipf       independent draws, a few models much more often than others: 8 models, nothing to learn but how often
    uniform    independent draws, all alike: 6 models, nothing to learn at all
    cycle      each model in turn, one more than fits: what LRU does worst
    scan       steady work on two models, and now and then every other model once
    turncoat   an order that is learnt and then turns round, again and again
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

from policies.request import Kind
from tests.sim.residency_day import Day, Trace
from tests.sim.residency_models import (
    PLANNER,
    REVIEWER,
    RUST,
    SMALL,
    SNAKE,
    TALKER,
    TINY,
    WRITER,
    File,
)

HOUR_S = 3600.0


def _moments(random: Random, start_s: float, until_s: float, every_s: float) -> Iterator[float]:
    at_s = start_s + random.expovariate(1 / every_s)
    while at_s < until_s:
        yield at_s
        at_s += random.expovariate(1 / every_s)


def _work(
    day: Day,
    start_s: float,
    hours: float,
    coder: File,
    client: str,
    *,
    talker: File = TALKER,
    chat_every_s: float = 400,
) -> None:
    """Somebody writes code and asks now and then."""
    until_s = start_s + hours * HOUR_S
    for at_s in _moments(day.random, start_s, until_s, 300):
        day.typing(at_s, day.random.uniform(60, 400), coder, client)
    for at_s in _moments(day.random, start_s, until_s, chat_every_s):
        day.talk(at_s, talker, client, turns=day.random.randint(1, 4), tokens=250, think_s=40)


def _reviews(day: Day, start_s: float, hours: float, client: str, every_s: float = 500) -> None:
    for at_s in _moments(day.random, start_s, start_s + hours * HOUR_S, every_s):
        turns = day.random.randint(2, 8)
        day.talk(at_s, REVIEWER, client, kind=Kind.EXPLAIN, turns=turns, tokens=400, think_s=15)


def person(seed: int, memory_gb: float = 14) -> Trace:
    """One language, chat and review: two of the three fit."""
    day = Day(Random(seed))
    day.open(0, SNAKE)
    _work(day, 0, 3, SNAKE, "me")
    _reviews(day, 0, 3, "me", 1500)
    _reviews(day, 3 * HOUR_S, 1, "me")
    _work(day, 4 * HOUR_S, 2, SNAKE, "me", chat_every_s=200)
    return day.trace("person", (SNAKE, TALKER, REVIEWER), memory_gb, 12)


def tight(seed: int) -> Trace:
    """The same day on a smaller card: the reviewer fits alone, so there is nothing to choose."""
    return replace(person(seed, 12), name="tight")


def polyglot(seed: int) -> Trace:
    """Phases: Python and chat, reviews, Rust and chat, documentation."""
    day = Day(Random(seed))
    random = day.random
    day.open(0, SNAKE)
    _work(day, 0, 2, SNAKE, "me")
    day.open(2 * HOUR_S, SNAKE, RUST)
    _reviews(day, 2 * HOUR_S, 1, "me")
    _work(day, 2 * HOUR_S, 1, SNAKE, "me", chat_every_s=900)
    day.open(3 * HOUR_S, RUST)
    _work(day, 3 * HOUR_S, 2, RUST, "me")
    day.open(5 * HOUR_S, SNAKE)
    _work(day, 5 * HOUR_S, 1, SNAKE, "me", chat_every_s=900)
    for at_s in _moments(random, 5 * HOUR_S, 6 * HOUR_S, 240):
        day.talk(
            at_s,
            WRITER,
            "me",
            kind=Kind.SUMMARISE,
            turns=random.randint(1, 5),
            tokens=200,
            think_s=10,
        )
    for at_s in _moments(random, 0, 6 * HOUR_S, 700):
        day.background(at_s, TINY, random.randint(3, 20), "indexer")
    for at_s in _moments(random, 0, 6 * HOUR_S, 1200):
        day.background(
            at_s, WRITER, random.randint(1, 6), "indexer", kind=Kind.SUMMARISE, tokens=80
        )
    return day.trace("polyglot", (TINY, SNAKE, RUST, TALKER, WRITER, REVIEWER), 14, 16)


def team(seed: int) -> Trace:
    """Three people who share a machine."""
    day = Day(Random(seed))
    random = day.random
    day.open(0, SNAKE, RUST, SMALL)
    for client, coder in (("ann", SNAKE), ("bob", RUST), ("cyd", SMALL)):
        for hour in range(6):
            if random.random() < 0.7:
                _work(day, hour * HOUR_S, 1, coder, client, chat_every_s=700)
    _reviews(day, 0, 6, "ann", 2000)
    chain = (
        (PLANNER, Kind.GENERATE, 300.0),
        (RUST, Kind.GENERATE, 200.0),
        (WRITER, Kind.SUMMARISE, 80.0),
    )
    for at_s in _moments(random, 0, 6 * HOUR_S, 2000):
        day.chain(at_s, chain, random.randint(1, 4), "bob")
    for at_s in _moments(random, 0, 6 * HOUR_S, 600):
        day.background(at_s, TINY, random.randint(3, 20), "indexer")
    return day.trace("team", (TINY, SMALL, SNAKE, RUST, TALKER, WRITER, PLANNER, REVIEWER), 22, 24)


def agents(seed: int) -> Trace:
    """Chains of four calls among keystrokes."""
    day = Day(Random(seed))
    random = day.random
    day.open(0, SMALL)
    _work(day, 0, 5, SMALL, "me", chat_every_s=1500)
    chain = (
        (PLANNER, Kind.GENERATE, 300.0),
        (RUST, Kind.GENERATE, 250.0),
        (SMALL, Kind.GENERATE, 60.0),
        (WRITER, Kind.SUMMARISE, 100.0),
    )
    for at_s in _moments(random, 0, 5 * HOUR_S, 700):
        day.chain(at_s, chain, random.randint(2, 6), "agent")
    return day.trace("agents", (SMALL, WRITER, RUST, TALKER, PLANNER), 12, 16)


def indexer(seed: int) -> Trace:
    """Background work for small models beside a person's large ones."""
    day = Day(Random(seed))
    random = day.random
    day.open(0, RUST)
    _work(day, 0, 5, RUST, "me", chat_every_s=500)
    for at_s in _moments(random, 0, 5 * HOUR_S, 120):
        day.background(at_s, TINY, random.randint(1, 10), "indexer")
    for at_s in _moments(random, 0, 5 * HOUR_S, 300):
        day.background(
            at_s, WRITER, random.randint(1, 8), "indexer", kind=Kind.SUMMARISE, tokens=80
        )
    _reviews(day, 0, 5, "me", 2500)
    return day.trace("indexer", (TINY, WRITER, RUST, TALKER, REVIEWER), 14, 16)


def _drawn(
    seed: int, name: str, files: tuple[File, ...], exponent: float, memory_gb: float
) -> Trace:
    """Independent draws: short sessions on a model, its rank's weight to that power."""
    day = Day(Random(seed))
    random = day.random
    ranked = list(files)
    random.shuffle(ranked)
    weights = [(rank + 1) ** -exponent for rank in range(len(ranked))]
    for at_s in _moments(random, 0, 5 * HOUR_S, 60):
        file = random.choices(ranked, weights)[0]
        if file.parameters < 5e9 and random.random() < 0.6:
            day.typing(at_s, 20, file, "me")
        else:
            day.talk(at_s, file, "me", turns=random.randint(1, 2), tokens=150, think_s=15)
    return day.trace(name, files, memory_gb, 16)


def zipf(seed: int) -> Trace:
    """A few models much more often than the others."""
    return _drawn(
        seed, "zipf", (TINY, SMALL, SNAKE, RUST, TALKER, WRITER, PLANNER, REVIEWER), 1.0, 18
    )


def uniform(seed: int) -> Trace:
    """All models alike."""
    return _drawn(seed, "uniform", (SMALL, SNAKE, RUST, TALKER, WRITER, PLANNER), 0.0, 14)


def cycle(seed: int) -> Trace:
    """Four models of one size in turn, room for three."""
    day = Day(Random(seed))
    files = tuple(replace(RUST, name=f"same-{letter}") for letter in "abcd")
    at_s = 0.0
    for turn in range(240):
        day.talk(at_s, files[turn % 4], "me", turns=1, tokens=100, think_s=5)
        at_s += day.random.uniform(30, 60)
    return day.trace("cycle", files, 19, 20)


def scan(seed: int) -> Trace:
    """Two models at work, and now and then each of the others once."""
    day = Day(Random(seed))
    _work(day, 0, 5, SNAKE, "me", chat_every_s=300)
    day.open(0, SNAKE)
    others = (SMALL, RUST, WRITER, PLANNER)
    for at_s in _moments(day.random, 0, 5 * HOUR_S, 900):
        for turn, file in enumerate(day.random.sample(others, len(others))):
            came_s = at_s + 15 * turn
            day.talk(came_s, file, "bench", kind=Kind.TRANSLATE, turns=1, tokens=60, think_s=5)
    return day.trace("scan", (SNAKE, TALKER, *others), 14, 16)


def turncoat(seed: int) -> Trace:
    """Each model in turn; every ten rounds the order turns round."""
    day = Day(Random(seed))
    files = tuple(replace(RUST, name=f"same-{letter}") for letter in "abcd")
    at_s, place, way = 0.0, 0, 1
    for turn in range(240):
        if turn % 10 == 9:
            way = -way
        place = (place + way) % 4
        day.talk(at_s, files[place], "me", turns=1, tokens=100, think_s=5)
        at_s += day.random.uniform(30, 60)
    return day.trace("turncoat", files, 19, 20)


TRACES: dict[str, Callable[[int], Trace]] = {
    make.__name__: make
    for make in (
        person,
        tight,
        polyglot,
        team,
        agents,
        indexer,
        zipf,
        uniform,
        cycle,
        scan,
        turncoat,
    )
}
