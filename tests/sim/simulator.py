"""Drives the product's scheduler and fake engines in virtual time, and journals as the daemon does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from daemon.frames import event_of
from daemon.journal import Journal
from engines import engine as frames
from engines.engine import Frame, Job, Plain
from engines.fake import FakeEngine, Knobs
from policies.limits import Limits
from policies.messages import (
    Action,
    Arrived,
    End,
    Event,
    Load,
    Start,
    Stop,
    Tick,
    Unload,
)
from policies.request import Request
from policies.scheduler import Scheduler
from policies.view import ModelView
from tests.sim.timers import Timer, VirtualTimers

BYTES_A_TOKEN = 4


@dataclass(frozen=True)
class Scene:
    """Everything a simulation depends on. `knobs(model, n)` are those of a model's n-th load."""

    models: tuple[ModelView, ...]
    limits: Limits
    outer: tuple[tuple[float, Event], ...]
    knobs: Callable[[str, int], Knobs] = lambda _model, _load: Knobs()
    poison: frozenset[int] = frozenset()
    answers: Mapping[int, int] | None = None
    """How many tokens a request's answer has, where it is not all it may have."""
    dispatch_s: float = 0.0005
    """From a decision to the engine."""
    report_s: float = 0.0005
    """From the engine to the scheduler."""


class Simulation:
    """One scene, played once."""

    def __init__(self, scene: Scene, *, check: bool = True) -> None:
        self.scene = scene
        self.journal = Journal(entries_max=1_000_000)
        self.scheduler = Scheduler(scene.models, scene.limits)
        self.timers = VirtualTimers()
        self._check = check
        self._requests: dict[int, Request] = {}
        self._engines: dict[str, FakeEngine] = {}
        self._loads: dict[str, int] = {}
        self._sent: dict[int, tuple[int, ...]] = {}
        self._alarm: Timer | None = None

    def run(self) -> Journal:
        for at_s, event in self.scene.outer:
            self.timers.call_later(at_s, lambda event=event: self._handle(event))
        self.timers.run()
        return self.journal

    # --- the driver -------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        now = self.timers.time()
        if isinstance(event, Arrived):
            self._requests[event.request.id] = event.request
        actions = self.scheduler.handle(event, now=now)
        if self._check:
            self.scheduler.check()
        self.journal.append(now, event, actions)
        for action in actions:
            if not isinstance(action, End):
                self.timers.call_later(
                    self.scene.dispatch_s, lambda action=action: self._perform(action)
                )
        self._rearm(now)

    def _rearm(self, now: float) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        if (due := self.scheduler.next_wakeup()) is not None:
            self._alarm = self.timers.call_later(max(0.0, due - now), lambda: self._handle(Tick()))

    # --- the world --------------------------------------------------------------------------------------

    def _perform(self, action: Action) -> None:
        match action:
            case Start(request_id, model, alone=alone):
                self._engines[model].submit(self._job(self._requests[request_id], alone=alone))
            case Stop(request_id, model):
                self._engines[model].stop(request_id)
            case Load(model):
                self._load(model)
            case Unload(model):
                self._engines[model].unload()

    def _load(self, model: str) -> None:
        count = self._loads[model] = self._loads.get(model, 0) + 1
        knobs = replace(
            self.scene.knobs(model, count),
            dies_inside=lambda job: job.request_id in self.scene.poison,
            script=self._script,
        )
        engine = FakeEngine(lambda frame: self._report(engine, model, frame), knobs, self.timers)
        self._engines[model] = engine
        engine.load()

    def _report(self, engine: FakeEngine, model: str, frame: Frame) -> None:
        if isinstance(frame, frames.Stepped):
            for given in frame.emitted:
                self._sent[given.request_id] = self._sent.get(given.request_id, ()) + given.tokens
        if event := event_of(model, frame):
            self.timers.call_later(self.scene.report_s, lambda: self._handle(event))

    def _job(self, request: Request, *, alone: bool) -> Job:
        """A prompt that grows with the document, so that the next one finds its beginning in the cache."""
        words = max(1, request.prompt_bytes // BYTES_A_TOKEN)
        text = " ".join(f"{request.client}{n}" for n in range(words))
        sent = self._sent.get(request.id, ())
        return Job(request.id, Plain(text), request.tokens_max, sent=sent, alone=alone)

    def _script(self, job: Job) -> str:
        answers = self.scene.answers or {}
        words = answers.get(job.request_id, job.tokens_max)
        return "".join(f" w{n}" for n in range(words))
