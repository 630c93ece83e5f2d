"""A few of the hostile inputs of `tests.fuzz.hostile`, on every run; `make fuzz` tries thousands."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz.hostile import KINDS, make, run

COUNT, SEED = 200, 1


@pytest.mark.slow
def test_a_worker_survives_hostile_grammars_schemas_templates_and_prompts(rungs_file: Path):
    """Each is answered, refused in words, or ended by a bound; none kills or holds up the worker (ENGINE.md 21)."""
    report = asyncio.run(run(iter(range(COUNT)), SEED, rungs_file))
    assert not report.bugs + report.lost, "\n".join(report.lines())
    assert sorted(finding.number for finding in report.findings) == list(range(COUNT))
    counts = Counter((finding.kind, finding.outcome) for finding in report.findings)
    for kind in KINDS:
        assert counts[kind, "answered"] >= 1, "not everything is refused"
        assert counts[kind, "refused"] >= 1, "and not everything is harmless"


def test_a_number_and_a_seed_give_the_same_input():
    """What was found once can be tried again."""
    first, second = (repr([make(number, SEED) for number in range(40)]) for _ in range(2))
    assert first == second
    assert repr(make(0, SEED)) != repr(make(0, SEED + 1))
