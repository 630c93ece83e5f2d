"""How well each estimator foresees a recorded journal: every step before it ran, every request when it was laid out.

    python -m tests.bench.prediction JOURNAL... [--skip STEPS]

Median and 90th percentile of |log(actual / predicted)|, by what was predicted and by estimator. A request's output is
taken to be as long as it was allowed, so that what is measured is time; a journal may begin anywhere. `tests.bench.recorded_load` records a journal.
"""

import argparse
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from daemon.journal import Entry, read
from policies.estimators import Line, Table, Usl
from policies.lengths import Lengths
from policies.messages import Arrived, EngineDied, Halt, Prepared, Start, Stepped, Stopped
from policies.outlook import Work, outlook
from policies.regression import Regression
from policies.request import Request
from policies.speed import Estimator, first_token_s, load_of, whole_s
from policies.step_model import StepModel
from tests.bench.figures import percentile

ESTIMATORS = {"usl": Usl, "line": Line, "table": Table, "formula": Regression, "steps": StepModel}


@dataclass(slots=True)
class Running:
    """A request that holds a sequence."""

    request: Request
    began_s: float
    prompt_tokens: int | None = None
    """Still to be evaluated; None until it is laid out."""
    produced: int = 0
    first_s: float | None = None
    foreseen: dict[str, tuple[float, float]] | None = None
    """By method: seconds from its start to the first token and to the last."""

    @property
    def work(self) -> Work:
        return Work(
            self.request.klass,
            self.prompt_tokens or 0,
            max(0, self.request.tokens_max - self.produced),
        )


class Model:
    """One model's requests and estimators, and how wrong they were."""

    def __init__(self, wrong: defaultdict[tuple[str, str], list[float]], skip: int) -> None:
        self._wrong = wrong
        self._skip = skip
        self._estimators: dict[str, Estimator] = {name: make() for name, make in ESTIMATORS.items()}
        self.running: dict[int, Running] = {}
        self._steps = 0

    def prepared(self, event: Prepared) -> None:
        """Foresee the request."""
        one = self.running.get(event.request_id)
        if one is None:
            return
        one.prompt_tokens = max(1, event.prompt_tokens - event.cached_tokens)
        if self._steps < self._skip:
            return
        beside = len(self.running) - 1
        works = [other.work for other in self.running.values() if other is not one]
        one.foreseen = {}
        for name, estimator in self._estimators.items():
            tokens = one.request.tokens_max
            one.foreseen[f"{name}, load as it is"] = (
                first_token_s(estimator, one.prompt_tokens, beside=beside),
                whole_s(estimator, one.prompt_tokens, tokens, beside=beside),
            )
            times = outlook(estimator, [*works, one.work])[-1]
            one.foreseen[f"{name}, outlook"] = (times.first_s, times.whole_s)

    def stepped(self, step: Stepped, now: float) -> None:
        """Compare, then learn."""
        load = load_of(step)
        what = "step: chunk" if step.prefilled_tokens else "step: decode"
        for name, estimator in self._estimators.items():
            if self._steps >= self._skip:
                self._note(what, name, step.duration_s, estimator.step_s(load))
            estimator.observe(load, step.duration_s)
        self._steps += 1
        self._read(step.prefilled_tokens)
        for number, tokens in step.emitted:
            one = self.running.get(number)
            if one:
                one.produced += tokens
                one.prompt_tokens = 0
                if one.first_s is None:
                    one.first_s = now - one.began_s

    def stopped(self, event: Stopped, now: float) -> Running | None:
        """Compare what was foreseen, if the request is done; return it then."""
        one = self.running.pop(event.request_id, None)
        if one is None or event.halt is not Halt.DONE:
            return None
        if one.first_s is not None and one.foreseen:
            klass = one.request.klass.label
            for method, (first_s, last_s) in one.foreseen.items():
                self._note(f"first token: {klass}", method, one.first_s, first_s)
                self._note(f"whole: {klass}", method, now - one.began_s, last_s)
        return one

    def _read(self, tokens: int) -> None:
        """Prompt tokens are the next prompt's."""
        waiting = [one for one in self.running.values() if one.prompt_tokens]
        for one in sorted(waiting, key=lambda one: (one.request.klass, one.request.id)):
            taken = min(tokens, one.prompt_tokens)
            one.prompt_tokens -= taken
            tokens -= taken

    def _note(self, what: str, method: str, actual_s: float, predicted_s: float) -> None:
        self._wrong[what, method].append(math.log(actual_s / predicted_s))


class Replay:
    """Every model of a journal, and the logarithms of actual to predicted, by what and by method."""

    def __init__(self, skip: int) -> None:
        self.wrong: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self._models: defaultdict[str, Model] = defaultdict(lambda: Model(self.wrong, skip))
        self._requests: dict[int, Request] = {}
        self._lengths = Lengths()

    def take(self, entry: Entry) -> None:
        """One event and what was decided."""
        match entry.event:
            case Arrived(request):
                self._requests[request.id] = request
            case Prepared(request_id=number) if number in self._requests:
                self._models[self._requests[number].model].prepared(entry.event)
            case Stepped(model=model):
                self._models[model].stepped(entry.event, entry.now)
            case Stopped(request_id=number) if number in self._requests:
                model = self._models[self._requests[number].model]
                if done := model.stopped(entry.event, entry.now):
                    self._answered(done)
            case EngineDied(model=model):
                self._models[model].running.clear()
        for action in entry.actions:
            if isinstance(action, Start) and action.request_id in self._requests:
                one = Running(self._requests[action.request_id], entry.now)
                self._models[action.model].running[action.request_id] = one

    def _answered(self, done: Running) -> None:
        """How long an answer was, against what nine in ten of its kind needed before."""
        request, produced = done.request, max(1, done.produced)
        expected = self._lengths.expected(request.kind, tokens_max=request.tokens_max)
        self.wrong["length", "nine in ten"].append(math.log(produced / expected))
        self._lengths.observe(request.kind, produced)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("journals", nargs="+", type=Path)
    parser.add_argument("--skip", type=int, default=0, help="steps that are learnt from first")
    arguments = parser.parse_args()
    for path in arguments.journals:
        replay = Replay(arguments.skip)
        with path.open("rb") as file:
            for entry in read(file):
                replay.take(entry)
        print(path)
        for (what, method), logs in sorted(replay.wrong.items()):
            sizes = [abs(log) for log in logs]
            print(
                f"  {what:<28} {method:<24} n={len(logs):<5} "
                f"p50 {percentile(sizes, 0.5):.3f}  p90 {percentile(sizes, 0.9):.3f}  "
                f"bias {percentile(logs, 0.5):+.3f}"
            )


if __name__ == "__main__":
    main()
