"""The leaf policies: plain functions from values to a choice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.baselines import Holder, lru_victims, slack_s
from policies.messages import Stepped
from policies.placement import place
from policies.request import Class, Kind, Place, Promise
from policies.speed import Speed
from policies.supersede import superseded
from policies.view import ModelView
from tests.policies.machine import HERE, ask

ANY = ModelView("any", frozenset(Kind), frozenset(), 1, 1)
SNAKE = replace(ANY, name="snake", languages=frozenset({"python"}))
TALKER = replace(ANY, name="talker", kinds=frozenset({Kind.CHAT}))


@pytest.mark.parametrize(
    ("kind", "language", "name", "chosen"),
    [
        (Kind.COMPLETE, "python", "", "snake"),  # its language first
        (Kind.COMPLETE, "rust", "", "any"),  # then one for every language
        (Kind.COMPLETE, "", "", "any"),
        (Kind.CHAT, "rust", "", "talker"),  # in configured order
        (Kind.COMPLETE, "rust", "talker", "talker"),  # a known name is taken at its word
        (Kind.COMPLETE, "rust", "gpt-4", None),  # an unknown one is not guessed at
    ],
)
def test_place(kind: Kind, language: str, name: str, chosen: str | None) -> None:
    """The rules of `place`, one a row."""
    assert place([TALKER, ANY, SNAKE], kind=kind, language=language, name=name) == chosen


def test_place_without_a_language_takes_what_there_is() -> None:
    """A client that names no language gets the Python model rather than none; a Rust file does not."""
    assert place([SNAKE], kind=Kind.COMPLETE, language="", name="") == "snake"
    assert place([SNAKE], kind=Kind.COMPLETE, language="rust", name="") is None
    assert place([TALKER], kind=Kind.COMPLETE, language="", name="") is None


OLD = ask(1, place=HERE).request


@pytest.mark.parametrize(
    ("older", "newer", "replaced"),
    [
        ({}, {}, True),
        ({}, {"place": Place("document", 13)}, True),
        ({}, {"place": Place("document", 14)}, False),
        ({}, {"place": Place("other", 10)}, False),
        ({}, {"place": None}, False),
        ({"place": None}, {}, False),
        ({}, {"client": "another"}, False),
        ({}, {"kind": Kind.POPUP}, False),  # an editor wants ghost text and menu
        ({}, {"klass": Class.SPECULATIVE}, False),  # a guess replaces no question
        ({"kind": Kind.WARM, "klass": Class.SPECULATIVE}, {}, True),  # a question replaces a guess
    ],
)
def test_supersede(older: dict, newer: dict, replaced: bool) -> None:
    """The rules of `superseded`, one a row."""
    first, second = replace(OLD, **older), replace(OLD, id=2, **newer)
    assert superseded(second, [first], neighbour_lines=3) == ([1] if replaced else [])


def test_victims_are_idle_first_then_least_recently_used() -> None:
    """No more of them than needed; None when all together are too small."""
    holders = [
        Holder("busy", 4, used_s=0.0, busy=True),
        Holder("new", 4, used_s=9.0, busy=False),
        Holder("old", 4, used_s=1.0, busy=False),
    ]

    def names(shortfall: int) -> list[str] | None:
        victims = lru_victims(holders, shortfall_bytes=shortfall)
        return None if victims is None else [victim.name for victim in victims]

    assert names(0) == []
    assert names(3) == ["old"]
    assert names(5) == ["old", "new"]
    assert names(12) == ["old", "new", "busy"]
    assert names(13) is None


@pytest.mark.parametrize(
    ("promise", "waited_s", "left_s"),
    [
        (Promise(), 100.0, 60.0),
        (Promise(whole_s=12.0), 2.0, 10.0),
        (Promise(first_token_s=0.3, whole_s=1.0), 0.5, 0.0),
    ],
)
def test_slack(promise: Promise, waited_s: float, left_s: float) -> None:
    """What is left of the shortest promise, never less than nothing."""
    assert slack_s(ask(1, promise=promise).request, waited_s) == left_s


def test_speed_forgets_slowly() -> None:
    """Prefill counts steps that prefill, decode the others; a change shows after some steps, not at once."""
    speed = Speed()
    assert speed.decode.per_s == 0.0
    for _ in range(100):
        speed = speed.after(Stepped("m", ((1, 1), (2, 1)), 0, 0.1, 0))
        speed = speed.after(Stepped("m", ((1, 1),), 50, 0.5, 0))
    assert speed.decode.per_s == pytest.approx(10)
    assert speed.prefill.per_s == pytest.approx(100)
    slower = speed.after(Stepped("m", ((1, 1),), 0, 0.2, 0))
    assert 9 < slower.decode.per_s < 10
