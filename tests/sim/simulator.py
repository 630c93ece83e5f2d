"""Drives the product's scheduler and fake engines in virtual time, and journals as the daemon does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from daemon.frames import event_of
from daemon.journal import Journal
from engines import engine as frames
from engines.engine import Frame, Job, Plain
from engines.fake import FakeEngine
from engines.fake_knobs import Knobs
from policies.limits import Limits
from policies.messages import (
    Action,
    Arrived,
    Cancelled,
    End,
    Event,
    Load,
    Park,
    Pause,
    Start,
    Stop,
    Tick,
    Unload,
    Unpause,
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
    after: Mapping[int, tuple[float, Arrived]] = field(default_factory=dict)
    """Who asks again so many seconds after a request has ended, unless it is withdrawn before that."""
    knobs: Callable[[str, int], Knobs] = lambda _model, _load: Knobs()
    poison: frozenset[int] = frozenset()
    prompts: Mapping[int, str] = field(default_factory=dict)
    """A request's prompt, where it is not one that grows with its client's document."""
    answers: Mapping[int, int] = field(default_factory=dict)
    """How many tokens a request's answer has, where it is not all it may have."""
    dispatch_s: float = 0.0005
    """From a decision to the engine."""
    report_s: float = 0.0005
    """From the engine to the scheduler."""


class Simulation:
    """One scene, played once."""

    def __init__(
        self, scene: Scene, *, check: bool = True, scheduler: Scheduler | None = None
    ) -> None:
        self.scene = scene
        self.journal = Journal(entries_max=1_000_000)
        self.scheduler = scheduler or Scheduler(scene.models, scene.limits)
        self.timers = VirtualTimers()
        self._check = check
        self._requests: dict[int, Request] = {}
        self._engines: dict[str, FakeEngine] = {}
        self._loads: dict[str, int] = {}
        self._sent: dict[int, tuple[int, ...]] = {}
        self._withdrawn: set[int] = set()
        self._alarm: Timer | None = None

    def run(self) -> Journal:
        for at_s, event in self.scene.outer:
            self.timers.call_later(at_s, lambda event=event: self._handle(event))
        self.timers.run()
        return self.journal

    # --- the driver -------------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        now = self.timers.time()
        match event:
            case Arrived(request):
                if request.id in self._withdrawn:
                    return
                self._requests[request.id] = request
            case Cancelled(request_id):
                self._withdrawn.add(request_id)
        actions = self.scheduler.handle(event, now=now)
        if self._check:
            self.scheduler.check()
        self.journal.append(now, event, actions)
        for action in actions:
            if isinstance(action, End):
                self._ask_again(action.request_id)
            else:
                self.timers.call_later(
                    self.scene.dispatch_s, lambda action=action: self._perform(action)
                )
        self._rearm(now)

    def _ask_again(self, ended: int) -> None:
        if follower := self.scene.after.get(ended):
            delay_s, event = follower
            self.timers.call_later(delay_s, lambda: self._handle(event))

    def _rearm(self, now: float) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        if (due := self.scheduler.next_wakeup()) is not None:
            self._alarm = self.timers.call_later(max(0.0, due - now), lambda: self._handle(Tick()))

    # --- the world --------------------------------------------------------------------------------------

    def _perform(self, action: Action) -> None:
        match action:
            case Start():
                self._engines[action.model].submit(self._job(action))
            case Stop(request_id, model):
                self._engines[model].stop(request_id)
            case Park(request_id, model):
                self._engines[model].park(request_id)
            case Pause(model, below, progress_s):
                self._engines[model].pause(below, progress_s)
            case Unpause(model):
                self._engines[model].unpause()
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

    def _job(self, start: Start) -> Job:
        request = self._requests[start.request_id]
        return Job(
            request.id,
            Plain(self.scene.prompts.get(request.id) or _prompt(request)),
            request.tokens_max,
            urgency=start.urgency,
            slack_s=start.slack_s,
            gap_s=start.gap_s,
            alone=start.alone,
            sent=self._sent.get(request.id, ()),
        )

    def _script(self, job: Job) -> str:
        words = self.scene.answers.get(job.request_id, job.tokens_max)
        return "".join(f" w{n}" for n in range(words))


def _prompt(request: Request) -> str:
    """A prompt that grows with the document, so that the next one finds its beginning in the cache."""
    words = max(1, request.prompt_bytes // BYTES_A_TOKEN)
    return " ".join(f"{request.client}{n}" for n in range(words))
