"""The record of decisions: bounded, typed, the same after a trip to disk, and readable as latencies."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.journal import Entry, Journal, JournalFile, decode, encode, read
from daemon.metrics import KEPT_MAX, Latencies, summarise
from policies.messages import (
    Arrived,
    Cancelled,
    End,
    Halt,
    Outcome,
    Reason,
    Start,
    Stepped,
    Stopped,
    Tick,
)
from policies.request import CLASS_OF, Class, Kind, Place, Promise, Request
from tests.sim.simulator import Simulation
from tests.sim.workload import random_scene

CHAT = Request(
    id=1,
    kind=Kind.CHAT,
    klass=CLASS_OF[Kind.CHAT],
    model="m",
    prompt_bytes=400,
    tokens_max=16,
    client="editor",
    place=Place("document", 3),
    promise=Promise(first_token_s=1.5),
)


def test_every_message_survives_the_disk() -> None:
    """Whole random days come back as they were."""
    for seed in range(30):
        for entry in Simulation(random_scene(seed)).run():
            assert decode(encode(entry)) == entry


def test_a_line_that_is_no_entry_is_an_error() -> None:
    """An unknown event is not taken for another."""
    with pytest.raises(KeyError):
        decode(b'{"now": 1, "event": ["Invented", {}], "actions": []}')


def test_memory_is_bounded() -> None:
    """The oldest entries go first."""
    journal = Journal(entries_max=2)
    for now in (1.0, 2.0, 3.0):
        journal.append(now, Tick(), [])
    assert [entry.now for entry in journal] == [2.0, 3.0]


def test_the_disk_is_bounded(tmp_path: Path) -> None:
    """A full file is kept once, under another name."""
    path = tmp_path / "journal.jsonl"
    line = len(encode(Entry(1.0, Tick(), ())))
    journal = Journal(file=JournalFile(path, bytes_max=2 * line))
    for now in (1.0, 2.0, 3.0, 4.0, 5.0):
        journal.append(now, Tick(), [])
    journal.close()
    old = path.with_suffix(".jsonl.old")
    assert [entry.now for entry in read(old.read_bytes().splitlines())] == [3.0, 4.0]
    assert [entry.now for entry in read(path.read_bytes().splitlines())] == [5.0]


def test_a_summary_is_read_from_a_journal() -> None:
    """Latencies count from arrival to the frames that carried the first token and the end."""
    done = End(1, Outcome.DONE, Reason.COMPLETE)
    gone = End(2, Outcome.CANCELLED, Reason.CLIENT)
    summary = summarise(
        [
            Entry(1.0, Arrived(CHAT), (Start(1, "m", 3.0, 1.5),)),
            Entry(1.2, Stepped("m", ((1, 1),), 0, 0.1, 0), ()),
            Entry(1.3, Stepped("m", ((1, 1),), 0, 0.1, 0), ()),
            Entry(1.5, Stopped(1, Halt.DONE), (done,)),
            Entry(1.6, Cancelled(2), (gone,)),
        ]
    )
    latency = summary.latencies.snapshot()[Class.FOREGROUND]
    assert latency.ttft_p50_ms == pytest.approx(200)
    assert latency.e2e_p95_ms == pytest.approx(500)
    assert summary.ended == {"done": 1, "cancelled": 1}


def test_percentiles_are_of_the_last_thousand() -> None:
    """A slow start is forgotten; the 95th percentile is a value that was measured."""
    latencies = Latencies()
    latencies.note(Class.INTERACTIVE, ttft_s=100.0, e2e_s=100.0)
    for n in range(1, KEPT_MAX + 1):
        latencies.note(Class.INTERACTIVE, ttft_s=None, e2e_s=n / 1e3)
    latency = latencies.snapshot()[Class.INTERACTIVE]
    assert latency.count == KEPT_MAX
    assert latency.ttft_p50_ms == pytest.approx(100_000)
    assert latency.e2e_p50_ms == pytest.approx(500)
    assert latency.e2e_p95_ms == pytest.approx(950)
