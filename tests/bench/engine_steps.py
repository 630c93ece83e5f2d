"""What the engine's own mechanisms cost on one model: abort, parking, interrupted prompts, the width of a step, a load.

The parts named by `--only` run one after the other, all of them by default:

    abort    from raising the flag to the return of a prompt's step
    prefill  tokens evaluated for a long prompt that completions interrupt
    park     saving and restoring a sequence beside evaluating it again
    width    decoding jobs: the planner's widths beside all rows in every step
    load     what background work keeps, and what a completion waits, on a true worker (`engine_load`)

    python -m tests.bench.engine_steps [--model FILE.gguf] [--only abort park] [--json]
"""

import argparse
import asyncio
import json
import queue
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from engines.batcher import Batcher
from engines.llama import ABORTED, Feed
from engines.resident import SUB_BATCH_CPU
from engines.run import Arrival
from policies.planner import Planned, Planner
from policies.step import URGENCY_MAX, Row, Share
from tests.bench import engine_load, engine_parking
from tests.bench.figures import ratio_interval, spread
from tests.bench.native_engine import NativeEngine, arrival, emitted
from tests.engines.hearing import EMBEDDED

ABORTS = 60
LONG_PROMPT = 2000
COMPLETION_PROMPT, COMPLETION_ANSWER = 100, 8
WIDTHS = (2, 3, 5, 6, 7)
WIDTH_PROMPT = 64
WARM_STEPS = 200
"""Decode steps in which the planner tries its widths before it is measured."""

Found = dict[str, object]
"""One figure: its name, and numbers whose units are in their names."""


# --- abort ------------------------------------------------------------------------------------------


def abort(engine: NativeEngine, arguments: argparse.Namespace) -> Iterator[Found]:
    """Raise the flag at random points of a prompt's step."""
    if not engine.abilities.abort:
        yield {"name": "abort: not on this backend"}
        return
    roll = random.Random(1)
    whole_s = statistics.median(_timed(engine, roll)[0] for _ in range(5))
    late_ms: list[float] = []
    while len(late_ms) < arguments.aborts:
        if (took_s := _broken_off(engine, roll, roll.uniform(0, 0.9 * whole_s))) is not None:
            late_ms.append(1e3 * took_s)
    yield {"name": "abort: flag to return", **spread(late_ms), "whole_step_ms": 1e3 * whole_s}


def _timed(engine: NativeEngine, roll: random.Random) -> tuple[float, int]:
    """One step of a fresh prompt; when it returned, less when it began, and llama.cpp's answer."""
    engine.empty()
    feed = Feed(0, 0, engine.tokens(SUB_BATCH_CPU, roll), wants_logits=True)
    began = time.perf_counter()
    code = engine.context.decode([feed])
    return time.perf_counter() - began, code


def _broken_off(engine: NativeEngine, roll: random.Random, after_s: float) -> float | None:
    """Seconds from raising the flag to the return; None where the step ended before it."""
    raised_s = 0.0
    go = threading.Event()

    def raise_flag() -> None:
        nonlocal raised_s
        go.wait()
        time.sleep(after_s)
        raised_s = time.perf_counter()
        engine.context.abort()

    thread = threading.Thread(target=raise_flag)
    thread.start()
    go.set()
    _, code = _timed(engine, roll)
    ended_s = time.perf_counter()
    thread.join()
    engine.context.resume()
    return ended_s - raised_s if code == ABORTED else None


# --- interrupted prompts ------------------------------------------------------------------------------


def prefill(engine: NativeEngine, arguments: argparse.Namespace) -> Iterator[Found]:
    """Send completions at random moments of a long prompt's steps."""
    for interruptions in (0, arguments.interruptions):
        given, aborted, lasted_s = _interrupted(engine, interruptions, random.Random(2))
        yield {
            "name": f"{LONG_PROMPT}-token prompt, {interruptions} completions",
            "evaluated_tokens": given,
            "share": given / LONG_PROMPT,
            "aborted_steps": aborted,
            "lasted_s": lasted_s,
        }


def _interrupted(
    engine: NativeEngine, interruptions: int, roll: random.Random
) -> tuple[int, int, float]:
    """Tokens that were given to the decoder for the prompt, steps broken off, seconds to its end."""
    batcher, mail = engine.batcher(), queue.SimpleQueue[Arrival]()
    batcher.submit(arrival(0, engine.tokens(LONG_PROMPT, roll), 1))
    batcher.step()
    sequence = batcher._runs[0].sequence
    given, aborted = engine.context.given_tokens[sequence], engine.context.aborted_steps
    first_step = min(SUB_BATCH_CPU, batcher.cache.ledger.length(sequence))
    began = time.perf_counter()
    left = interruptions
    while 0 in batcher._runs:
        if left and len(batcher._runs) == 1:
            left -= 1
            tokens = engine.tokens(COMPLETION_PROMPT, roll)
            completion = arrival(1 + left, tokens, COMPLETION_ANSWER, URGENCY_MAX)
            thread = threading.Thread(
                target=_come, args=(batcher, mail, completion, roll.uniform(0, 0.1))
            )
            thread.start()
            batcher.step()
            thread.join()
            batcher.submit(mail.get())
        else:
            batcher.step()
    lasted_s = time.perf_counter() - began
    while batcher.busy:
        batcher.step()
    assert not left, "the prompt was done before every completion had come"
    return (
        first_step + engine.context.given_tokens[sequence] - given,
        engine.context.aborted_steps - aborted,
        lasted_s,
    )


def _come(
    batcher: Batcher, mail: "queue.SimpleQueue[Arrival]", completion: Arrival, after_s: float
) -> None:
    """What intake does."""
    time.sleep(after_s)
    mail.put(completion)
    batcher.hurry(completion.job.urgency)


# --- the width of a step ------------------------------------------------------------------------------


class AllAtOnce(Planner):
    """The naive choice: every decoding row in every step."""

    def next(self, rows: Sequence[Row], *, idle_rows: int, now: float) -> Planned:
        planned = super().next(rows, idle_rows=idle_rows, now=now)
        if not all(row.decoding for row in rows):
            return planned
        shares = tuple(Share(row.id, 1) for row in rows)
        return replace(planned, step=replace(planned.step, shares=shares, pads=0))


def width(engine: NativeEngine, arguments: argparse.Namespace) -> Iterator[Found]:
    """Equal decoding jobs, the planner's widths and all at once in turns."""
    for jobs in WIDTHS:
        planners = [_planner(kind, engine) for kind in (Planner, AllAtOnce)]
        speeds: list[list[float]] = [[], []]
        for planner in planners:
            _decode_speed(engine, planner, jobs, WARM_STEPS * jobs)
        for pair in range(arguments.pairs):
            for side in (0, 1) if pair % 2 else (1, 0):
                speeds[side].append(
                    _decode_speed(engine, planners[side], jobs, arguments.tokens * jobs)
                )
        mean, low, high = ratio_interval(*speeds)
        yield {
            "name": f"width: {jobs} jobs",
            "planned_tokens_s": statistics.median(speeds[0]),
            "naive_tokens_s": statistics.median(speeds[1]),
            "ratio": mean,
            "ratio_low": low,
            "ratio_high": high,
        }


def _planner(kind: type[Planner], engine: NativeEngine) -> Planner:
    batcher = engine.batcher()
    return kind(
        budget_tokens=SUB_BATCH_CPU,
        quantum_s=batcher._terms.quantum_s,
        can_abort=engine.abilities.abort,
    )


def _decode_speed(engine: NativeEngine, planner: Planner, jobs: int, tokens: int) -> float:
    """Tokens a second of jobs that all decode."""
    batcher, roll = engine.batcher(), random.Random(jobs)
    batcher._planner = planner
    for number in range(jobs):
        batcher.submit(arrival(number, engine.tokens(WIDTH_PROMPT, roll), 1 << 20))
    batcher.step()
    while any(run.first_s is None for run in batcher._runs.values()):
        batcher.step()
    done, began = 0, time.perf_counter()
    while done < tokens:
        done += len(emitted(batcher.step()))
    return done / (time.perf_counter() - began)


# --- all of them ----------------------------------------------------------------------------------------


def park(engine: NativeEngine, arguments: argparse.Namespace) -> Iterator[Found]:
    """Parking, alone and beside seven others."""
    yield from engine_parking.measure(engine, arguments.rounds)


PARTS: dict[str, Callable[[NativeEngine, argparse.Namespace], Iterator[Found]]] = {
    "abort": abort,
    "prefill": prefill,
    "park": park,
    "width": width,
}


def line(found: Found) -> str:
    """A name and its numbers side by side."""
    numbers = (
        f"{key} {value:,.3f}" if isinstance(value, float) else f"{key} {value:,}"
        for key, value in found.items()
        if key != "name"
    )
    return f"{found['name']:<40} {'  '.join(numbers)}"


def measure(arguments: argparse.Namespace) -> Iterator[Found]:
    """Every part that was asked for; the worker of `load` comes last, when this process computes nothing."""
    parts = [name for name in PARTS if name in arguments.only]
    if parts:
        engine = NativeEngine(
            arguments.model,
            repack=arguments.repack,
            threads=arguments.threads,
            quantum_ms=arguments.quantum_ms,
        )
        for name in parts:
            yield from PARTS[name](engine, arguments)
    if "load" in arguments.only:
        yield from asyncio.run(engine_load.measure(arguments))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", type=Path, default=EMBEDDED)
    parser.add_argument("--only", nargs="*", default=[*PARTS, "load"], choices=[*PARTS, "load"])
    parser.add_argument("--threads", type=int, help="by default the physical processors")
    parser.add_argument("--quantum-ms", type=float, default=50.0)
    parser.add_argument("--repack", action="store_true", help="weights in kernels' own layouts")
    parser.add_argument("--aborts", type=int, default=ABORTS)
    parser.add_argument("--interruptions", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=7, help="of parking")
    parser.add_argument("--pairs", type=int, default=8, help="of widths")
    parser.add_argument("--tokens", type=int, default=64, help="a job emits in a run of widths")
    parser.add_argument("--quiet-seconds", type=float, default=30.0, help="of undisturbed load")
    parser.add_argument("--seconds", type=float, default=60.0, help="of load with completions")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for found in measure(arguments):
        print(json.dumps(found) if arguments.json else line(found), flush=True)


if __name__ == "__main__":
    main()
