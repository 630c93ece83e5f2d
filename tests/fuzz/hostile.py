"""Thousands of hostile inputs against a real worker: grammars, schemas, chat templates, prompts.

python -m tests.fuzz.hostile [--count 10000] [--seed 1] [--first 0] [--kinds grammar schema template prompt]

1. The same seed and number give the same input: `--first N --count 1` tries one again.
2. Intake is one thread, so that its time for a job counts from the end of the job before.
3. A job that the worker died or hung with is tried again alone by a fresh worker, as the daemon would (ENGINE.md 22).
4. "busy" refusals (another grammar still compiles) are no fault of the job: it waits and asks again.

Exit status 1 where a worker died or hung, or an answer's words would not help its caller.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from engines.engine import Constraint, Job, Plain, Sampling, Stopped
from policies.messages import Halt
from tests.fuzz import grammars, prompts, schemas, templates
from tests.fuzz.worker import Heard, Worker

KINDS = ("grammar", "schema", "template", "prompt")
ABREAST = 4
LIMIT_S = 5.0
"""For intake, for one step, and for a template: over it the others have waited too long."""
BUSY_TRIES, BUSY_S = 100, 0.2
GROWN_BYTES_MAX = 1 << 30
"""Of memory, for one input."""
DETAIL_CHARS_MAX = 300
UNCLEAR = re.compile(
    r"panic|Traceback|could not be laid out|[a-z](Error|Exception)\b|unwrap|\.rs\b|0x[0-9a-f]{6}"
)
BUGS = ("unclear", "slow", "hung", "died", "memory")
COLUMNS = ("answered", "refused", "ended", *BUGS, "poison")
WORST = 6


@dataclass(frozen=True)
class Finding:
    """What became of one input. `outcome` is one of `COLUMNS`; the times are seconds."""

    number: int
    kind: str
    outcome: str
    detail: str = ""
    intake_s: float = 0.0
    step_s: float = 0.0
    retried: bool = False


@dataclass
class Report:
    """Everything found, and its table."""

    findings: list[Finding] = field(default_factory=list)
    rss_bytes_max: int = 0
    lost: list[str] = field(default_factory=list)
    """How the worker died or hung, each time, even if nothing did it again alone."""

    @property
    def bugs(self) -> list[Finding]:
        return [f for f in self.findings if f.outcome in {*BUGS, "poison"}]

    def lines(self) -> Iterator[str]:
        counts = Counter((f.kind, f.outcome) for f in self.findings)
        yield f"{'':10}" + "".join(f"{column:>9}" for column in COLUMNS)
        for kind in KINDS:
            yield f"{kind:10}" + "".join(f"{counts[kind, column]:9}" for column in COLUMNS)
        for kind in KINDS:
            own = [f for f in self.findings if f.kind == kind]
            yield (
                f"worst {kind}: intake "
                + _worst(own, "intake_s")
                + "; step "
                + _worst(own, "step_s")
            )
        yield f"worker's largest resident size: {self.rss_bytes_max >> 20} MiB"
        yield f"workers that died or hung: {len(self.lost)} {Counter(self.lost).most_common(WORST)}"
        for bug in self.bugs:
            yield f"BUG {bug.kind} {bug.number} {bug.outcome} (intake {bug.intake_s:.2f} s, step {bug.step_s:.2f} s): {bug.detail}"


def _worst(findings: list[Finding], time_of: str) -> str:
    worst = sorted(findings, key=lambda f: -getattr(f, time_of))[:WORST]
    return ", ".join(f"{getattr(f, time_of):.2f} s (#{f.number})" for f in worst)


def kind_of(number: int) -> str:
    """Return the kind of an input: each is a quarter of all."""
    return KINDS[number % len(KINDS)]


def make(number: int, seed: int) -> tuple[str, Job | str]:
    """Return the kind of an input, and a job, or a template's source."""
    rng, kind = Random(f"{seed}:{number}"), kind_of(number)
    match kind:
        case "grammar":
            return kind, _constrained(rng, number, Constraint("gbnf", grammars.grammar(rng)))
        case "schema":
            return kind, _constrained(rng, number, Constraint("json_schema", schemas.schema(rng)))
        case "template":
            return kind, templates.template(rng)
        case _:
            return kind, prompts.job(rng, number)


def _constrained(rng: Random, number: int, constraint: Constraint) -> Job:
    sampling = Sampling(
        temperature=rng.choice([0.0, 0.8, 2.0]), top_k=rng.choice([0, 40]), seed=number
    )
    return Job(
        number,
        Plain("def f(x):\n"),
        rng.randint(1, prompts.TOKENS_MAX),
        sampling,
        constraint=constraint,
    )


def judge(number: int, kind: str, heard: Heard, end: Stopped | str) -> Finding:
    """Sort an end into one of `COLUMNS`."""
    times = (heard.intake_s or 0.0, heard.step_s)
    if isinstance(end, str):
        return Finding(number, kind, "hung" if end == "hung" else "died", end, *times)
    if max(times) > LIMIT_S:
        return Finding(number, kind, "slow", end.detail, *times)
    if end.halt == Halt.DONE:
        return Finding(number, kind, "answered", "", *times)
    outcome = {Halt.INVALID: "refused", Halt.FAILED: "ended"}.get(Halt(end.halt), "unclear")
    return Finding(
        number, kind, outcome if _is_clear(end.detail) else "unclear", end.detail, *times
    )


def _is_clear(detail: str) -> bool:
    return 0 < len(detail) <= DETAIL_CHARS_MAX and not UNCLEAR.search(detail)


async def try_job(worker: Worker, number: int, kind: str, job: Job) -> Finding:
    """Ask, and ask again while the compiler is busy (4)."""
    for _ in range(BUSY_TRIES):
        heard, end = await worker.ask(job)
        if isinstance(end, str) or "still being compiled" not in end.detail:
            return judge(number, kind, heard, end)
        await asyncio.sleep(BUSY_S)
    return Finding(number, kind, "hung", "the compiler never got free")


async def try_template(renderer: templates.Renderer, number: int, source: str) -> Finding:
    """Render in a process of its own."""
    rendered = await asyncio.to_thread(renderer.render, source, LIMIT_S)
    if isinstance(rendered, str):
        return Finding(number, "template", rendered, f"rendering {rendered}", LIMIT_S)
    outcome = "refused" if rendered.refusal else "answered"
    if rendered.grown_bytes > GROWN_BYTES_MAX or "MemoryError" in rendered.refusal:
        outcome = "memory"
    words = f"{rendered.refusal}; {rendered.grown_bytes >> 20} MiB, {rendered.chars} characters"
    return Finding(number, "template", outcome, words, rendered.took_s)


async def run(numbers: Iterator[int], seed: int, rungs_file: Path) -> Report:
    """Try inputs, `ABREAST` at once; then those that the worker died or hung with, each alone (3)."""
    report = Report()
    again: list[int] = []

    async def lane(worker: Worker, renderer: templates.Renderer) -> None:
        for number in numbers:
            kind, given = make(number, seed)
            if isinstance(given, str):
                async with one_renders:
                    report.findings.append(await try_template(renderer, number, given))
                continue
            finding = await try_job(worker, number, kind, given)
            if finding.outcome in {"died", "hung"}:
                again.append(number)
            else:
                report.findings.append(finding)

    one_renders = asyncio.Lock()
    async with Worker(rungs_file) as worker, _rendering() as renderer:
        await asyncio.gather(*(lane(worker, renderer) for _ in range(ABREAST)))
        for number in again:
            report.findings.append(await _alone(worker, number, seed))
        report.rss_bytes_max, report.lost = worker.rss_bytes_max, worker.lost
    return report


async def _alone(worker: Worker, number: int, seed: int) -> Finding:
    """Rule 3. One that is well alone shared the step of another that is to blame."""
    kind, given = make(number, seed)
    assert isinstance(given, Job)
    finding = await try_job(worker, number, kind, given)
    if finding.outcome in {"died", "hung"}:
        return Finding(number, kind, "poison", finding.detail, finding.intake_s, finding.step_s)
    return finding


@contextlib.asynccontextmanager
async def _rendering() -> AsyncIterator[templates.Renderer]:
    renderer = templates.Renderer()
    try:
        yield renderer
    finally:
        renderer.close()


def main() -> int:
    """Run, print, and say by the exit status whether all were bounded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    given = parser.parse_args()
    chosen = range(given.first, given.first + given.count)
    numbers = (number for number in chosen if kind_of(number) in given.kinds)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        report = asyncio.run(run(numbers, given.seed, Path(folder) / "rungs.json"))
    print(*report.lines(), sep="\n")
    print(f"{len(report.findings)} inputs of seed {given.seed} in {time.monotonic() - began:.0f} s")
    return 1 if report.bugs or report.lost else 0


if __name__ == "__main__":
    sys.exit(main())
