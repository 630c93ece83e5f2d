"""The simulator's own error: a recorded live run beside the same run simulated.

    python -m tests.sim.against_live JOURNAL [--machine NAME] [--paced]

What people did (arrivals, withdrawals) is taken from the journal, and of each request how long its prompt was, how
much of it was in the cache, and how long its answer was. All else is the simulator's: what starts when, what goes
into a step, and by the machine's cost how long that takes. Who asked as soon as another request of its kind had ended
does so here too: a program that waits for each answer before it asks again.

The machine of that day may have been slower than when it was measured: the first line says by how much its steps were.
With `--paced` the simulated machine is as much slower, so that what is left is the error of everything else.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.journal import Entry, read
from daemon.metrics import summarise
from engines.fake_knobs import Knobs
from policies.limits import Limits
from policies.messages import (
    Arrived,
    Cancelled,
    End,
    Event,
    Foreseen,
    Load,
    Loaded,
    MemoryChanged,
    Outcome,
    Prepared,
    Reason,
    Stepped,
)
from policies.request import Class, Kind, Request
from policies.view import ModelView
from tests.sim.machines import MACHINES, Machine
from tests.sim.simulator import Scene, Simulation

AT_ONCE_S = 0.005
"""Who asks so soon after an answer was waiting for it."""
FIGURES = ("ttft_p50_ms", "ttft_p95_ms", "e2e_p50_ms", "e2e_p95_ms")


@dataclass(frozen=True)
class Compared:
    """One figure of one class, in milliseconds."""

    klass: Class
    figure: str
    requests: int
    live_ms: float
    simulated_ms: float

    @property
    def error(self) -> float:
        """How far the simulator is off, as a part of the truth."""
        return self.simulated_ms / self.live_ms - 1


def compare(entries: Sequence[Entry], machine: Machine) -> list[Compared]:
    """Play a journal's outer events and set both runs' latencies side by side."""
    live = summarise(entries).latencies.snapshot()
    simulated = summarise(Simulation(scene_of(entries, machine)).run()).latencies.snapshot()
    return [
        Compared(klass, figure, live[klass].count, told, played)
        for klass in live
        if klass in simulated
        for figure in FIGURES
        if (told := getattr(live[klass], figure)) and (played := getattr(simulated[klass], figure))
    ]


def pace(entries: Iterable[Entry], machine: Machine) -> float:
    """How many times longer the recorded steps took, all together, than the machine's figures say for short caches."""
    took_s = measured_s = 0.0
    for entry in entries:
        if isinstance(entry.event, Stepped):
            step = entry.event
            tokens = step.prefilled_tokens or 1
            rows = 1 if step.prefilled_tokens else len(step.emitted)
            took_s += step.duration_s
            measured_s += machine.step_s(rows=rows, tokens_each=tokens, longest_cells=machine.cells)
    return took_s / measured_s


def scene_of(entries: Sequence[Entry], machine: Machine) -> Scene:
    """Everything a simulation needs of a recorded run; its models have all the memory they want."""
    began_s = entries[0].now
    after = _followers(entries)
    following = {event.request.id for _, event in after.values()}
    outer = tuple(
        (entry.now - began_s, entry.event)
        for entry in entries
        if _is_outer(entry.event)
        and not (isinstance(entry.event, Arrived) and entry.event.request.id in following)
    )
    requests = [entry.event.request for entry in entries if isinstance(entry.event, Arrived)]
    loads = _loads(entries)
    names = dict.fromkeys(request.model for request in requests)

    def knobs(model: str, load: int) -> Knobs:
        if model not in loads:
            return Knobs(load_fails=True)
        load_s, sequences = loads[model][min(load, len(loads[model])) - 1]
        return Knobs(
            load_s=load_s,
            sequences=sequences,
            step_s=machine.step_s,
            abort_s=machine.abort_ms / 1e3,
        )

    return Scene(
        models=tuple(
            ModelView(n, frozenset(Kind), frozenset(), need_bytes=1, sequences=0) for n in names
        ),
        limits=Limits(),
        outer=outer,
        after=after,
        knobs=knobs,
        prompts=dict(_prompts(entries)),
        answers=_answers(entries, requests),
    )


def _loads(entries: Iterable[Entry]) -> dict[str, list[tuple[float, int]]]:
    """Of each load of a model: seconds from the wish to the fact, the process's start included, and its sequences."""
    wished_s: dict[str, float] = {}
    loads: dict[str, list[tuple[float, int]]] = {}
    for entry in entries:
        if isinstance(entry.event, Loaded):
            model, sequences = entry.event.model, entry.event.sequences
            loads.setdefault(model, []).append((entry.now - wished_s[model], sequences))
        wished_s |= {
            action.model: entry.now for action in entry.actions if isinstance(action, Load)
        }
    return loads


def _followers(entries: Iterable[Entry]) -> dict[int, tuple[float, Arrived]]:
    """Who asked at once when another request was answered, by that one's number, and how soon."""
    after: dict[int, tuple[float, Arrived]] = {}
    kinds: dict[int, Kind] = {}
    answered: dict[Kind, list[tuple[int, float]]] = {}
    for entry in entries:
        if isinstance(entry.event, Arrived):
            request = entry.event.request
            kinds[request.id] = request.kind
            waited_for = answered.get(request.kind, [])
            if waited_for and entry.now - waited_for[-1][1] <= AT_ONCE_S:
                ended, at_s = waited_for.pop()
                after[ended] = (entry.now - at_s, entry.event)
        for action in entry.actions:
            if isinstance(action, End) and action.outcome is Outcome.DONE:
                kind = kinds[action.request_id]
                answered.setdefault(kind, []).append((action.request_id, entry.now))
    return after


def _is_outer(event: Event) -> bool:
    """Whether people or the machine did it. That a caller has enough follows from the answer, which ends there."""
    if isinstance(event, Cancelled):
        return event.reason is not Reason.ENOUGH
    return isinstance(event, Arrived | Foreseen | MemoryChanged)


def _prompts(entries: Iterable[Entry]) -> Iterator[tuple[int, str]]:
    """A text for each prompt of so many tokens, with so many in common with one that came before as were cached."""
    known: list[list[str]] = []
    for entry in entries:
        if isinstance(entry.event, Prepared):
            made = entry.event
            alike = (words for words in reversed(known) if len(words) >= made.cached_tokens)
            start = next(alike, [])[: made.cached_tokens]
            words = [
                *start,
                *(f"{made.request_id}.{n}" for n in range(len(start), made.prompt_tokens)),
            ]
            known.append(words)
            yield made.request_id, " ".join(words)


def _answers(entries: Iterable[Entry], requests: Iterable[Request]) -> dict[int, int]:
    """How long each answer was; what was withdrawn before its end may have been as long as it was allowed."""
    emitted: Counter[int] = Counter()
    withdrawn = set()
    for entry in entries:
        match entry.event:
            case Stepped(emitted=given):
                emitted.update(dict(given))
            case Cancelled(request_id, reason) if reason is not Reason.ENOUGH:
                withdrawn.add(request_id)
            case _:
                pass
    return {r.id: emitted[r.id] for r in requests if r.id not in withdrawn and emitted[r.id]}


def table(compared: Iterable[Compared]) -> str:
    """One line a figure."""
    lines = [f"{'class':<12} {'figure':<12} {'n':>4} {'live ms':>9} {'simulated':>9} {'error':>7}"]
    lines += [
        f"{one.klass.label:<12} {one.figure:<12} {one.requests:>4} {one.live_ms:>9.0f} "
        f"{one.simulated_ms:>9.0f} {one.error:>+7.0%}"
        for one in compared
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("journal", type=Path)
    parser.add_argument("--machine", choices=MACHINES, default=next(iter(MACHINES)))
    parser.add_argument("--paced", action="store_true")
    arguments = parser.parse_args()
    machine = MACHINES[arguments.machine]
    with arguments.journal.open("rb") as lines:
        entries = list(read(lines))
    slower = pace(entries, machine)
    print(f"the recorded steps took {slower:.2f} times what they take on {machine.name}")
    print(table(compare(entries, machine.slowed(slower) if arguments.paced else machine)))


if __name__ == "__main__":
    main()
