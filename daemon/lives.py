"""From the journal's entries to the lives of the requests in them.

A journal is bounded, so a life, a model or a queue may have begun before it: what is not known then is left out, never
guessed. Events and actions that are not named here change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from daemon.journal import Entry
from daemon.life import Life, Want
from policies.baselines import urgency
from policies.messages import (
    Action,
    Arrived,
    End,
    EngineDied,
    Event,
    Halt,
    Load,
    Loaded,
    LoadFailed,
    Park,
    Pause,
    Prepared,
    Start,
    Stepped,
    Stop,
    Stopped,
    Unload,
    Unloaded,
    Unpause,
)
from policies.request import Class
from policies.view import Phase


@dataclass(slots=True)
class _Model:
    """What the journal has said of a model so far; None for what it has not."""

    phase: Phase | None = None
    sequences: int | None = None
    crew: dict[int, Life] = field(default_factory=dict)
    queue: dict[int, Life] = field(default_factory=dict)
    resting: dict[int, Life] = field(default_factory=dict)
    """Who of the crew is paused."""


def read_lives(entries: Iterable[Entry]) -> dict[int, Life]:
    """The life of every request that an entry names, by its number."""
    reader = _Reader()
    for entry in entries:
        reader.read(entry)
    return reader.lives


class _Reader:
    def __init__(self) -> None:
        self.lives: dict[int, Life] = {}
        self._models: dict[str, _Model] = {}

    def read(self, entry: Entry) -> None:
        """Take one entry into account."""
        now = entry.now
        match entry.event:
            case Stepped(emitted=emitted):
                for request_id, n_tokens in emitted:
                    self._life(request_id).take_tokens(n_tokens, now)
                return
            case Prepared():
                self._prepared(entry.event, now)
                return
            case Arrived(request):
                life = Life(request.id, request.model, request, now)
                self.lives[request.id] = life
                life.note(now, "arrived")
                self._enqueue(life, now)
            case Stopped(request_id, halt):
                self._stopped(self._life(request_id), halt, now)
            case EngineDied(model, inside):
                self._died(model, inside, now)
            case _:
                self._of_model(entry.event)
        for action in entry.actions:
            self._act(action, entry)
        self._note_waits(now)

    # --- events -----------------------------------------------------------------------------------------

    def _prepared(self, event: Prepared, now: float) -> None:
        life = self._life(event.request_id)
        if life.ended_s is not None:
            return
        life.prompt_tokens, life.cached_tokens = event.prompt_tokens, event.cached_tokens
        sizes = f"{event.prompt_tokens} prompt tokens, {event.cached_tokens} of them cached"
        life.note(now, "prepared", sizes)

    def _stopped(self, life: Life, halt: Halt, now: float) -> None:
        """Its sequence is free; who has not ended (by an action of this entry) waits again."""
        if life.model is None or self._model(life.model).crew.pop(life.id, None) is None:
            return
        self._model(life.model).resting.pop(life.id, None)
        if halt is Halt.PARKED and life.ended_s is None:
            life.note(now, "parked", "what it had computed is kept")
        self._enqueue(life, now)

    def _died(self, name: str, inside: tuple[int, ...], now: float) -> None:
        model = self._model(name)
        model.phase = Phase.ABSENT
        crew, model.crew, model.resting = model.crew, {}, {}
        for life in crew.values():
            if life.ended_s is None:
                detail = "in a step of this request" if life.id in inside else ""
                life.note(now, "its worker died", detail)
                self._enqueue(life, now)

    def _of_model(self, event: Event) -> None:
        match event:
            case Loaded(name, sequences):
                model = self._model(name)
                model.phase, model.sequences = Phase.READY, sequences
            case LoadFailed(name):
                self._model(name).phase = Phase.FAILED
            case Unloaded(name):
                self._model(name).phase = Phase.ABSENT
            case _:
                pass

    # --- actions ----------------------------------------------------------------------------------------

    def _act(self, action: Action, entry: Entry) -> None:
        match action:
            case Load(name):
                self._model(name).phase = Phase.LOADING
            case Unload(name):
                self._model(name).phase = Phase.DRAINING
            case End():
                self._ended(self._life(action.request_id), action, entry.now)
            case Start(request_id, model, alone=alone):
                detail = "alone, after a death" if alone else ""
                self._started(request_id, model, detail, entry.now)
            case Stop(request_id) | Park(request_id):
                self._made_way(request_id, entry)
            case Pause(name, below):
                self._paused(self._model(name), below, entry.now)
            case Unpause(name):
                self._unpaused(self._model(name), entry.now)
            case _:
                pass

    def _started(self, request_id: int, name: str, detail: str, now: float) -> None:
        """It leaves the queue and has a sequence."""
        life, model = self._life(request_id), self._model(name)
        life.model = name
        model.crew[request_id] = life
        _leave(model, life, now)
        life.note(now, "started", detail)

    def _made_way(self, request_id: int, entry: Entry) -> None:
        """It was set aside; one that was withdrawn has its end in the same entry."""
        life = self._life(request_id)
        if not any(isinstance(act, End) and act.request_id == request_id for act in entry.actions):
            life.note(entry.now, "made way", by=self._for_whom(life, entry.event))

    def _paused(self, model: _Model, below: float, now: float) -> None:
        """The lesser work of a model rests in its sequences, for the sake of who is urgent enough."""
        lesser = {n: life for n, life in model.crew.items() if urgency(_klass(life)) < below}
        by = next((n for n in model.crew if n not in lesser), None)
        for number, life in lesser.items():
            if number not in model.resting:
                life.note(now, "paused", by=by)
        model.resting = lesser

    def _unpaused(self, model: _Model, now: float) -> None:
        for life in model.resting.values():
            life.note(now, "went on")
        model.resting = {}

    def _ended(self, life: Life, end: End, now: float) -> None:
        if life.model is not None:
            _leave(self._model(life.model), life, now)
        life.ended_s, life.outcome, life.reason = now, end.outcome, end.reason
        life.note(now, end.outcome.value, end.reason.value)

    def _for_whom(self, life: Life, event: Event) -> int | None:
        """The more urgent request that a lesser one makes way for: the newcomer, or who waits for the model, or for memory."""
        if life.request is None or life.model is None:
            return None
        own = self._model(life.model)
        queues = [own.queue, *(model.queue for model in self._models.values() if model is not own)]
        for queue in queues:
            urgent = [other for other in queue if _klass(queue[other]) < life.request.klass]
            if isinstance(event, Arrived) and event.request.id in urgent:
                return event.request.id
            if urgent:
                return min(urgent, key=lambda other: (_klass(queue[other]), other))
        return None

    # --- waiting ----------------------------------------------------------------------------------------

    def _enqueue(self, life: Life, now: float) -> None:
        assert life.model is not None
        if life.ended_s is None:
            self._model(life.model).queue[life.id] = life
            life.waiting_since_s = now

    def _note_waits(self, now: float) -> None:
        """Say of everybody who waits for what, where that has changed."""
        for model in self._models.values():
            first = min(map(_klass, model.queue.values()), default=None)
            for life in model.queue.values():
                wants = _want(model, life, first)
                if wants is not life.wants:
                    life.wants = wants
                    life.note(now, "waits", f"for {wants}")

    def _life(self, request_id: int) -> Life:
        return self.lives.setdefault(request_id, Life(request_id))

    def _model(self, name: str) -> _Model:
        return self._models.setdefault(name, _Model())


def _want(model: _Model, life: Life, first: Class | None) -> Want:
    """What keeps it in the queue, whose most urgent class is `first`.

    1. Its model comes, or has yet to be given memory.
    2. Who is more urgent waits too.
    3. Every sequence is taken.
    4. One is free, and the scheduler does not give it to this class now.
    """
    if model.phase is Phase.LOADING:  # 1
        return Want.LOADING
    if model.phase in (Phase.ABSENT, Phase.DRAINING):
        return Want.MEMORY
    if first is not None and first < _klass(life):  # 2
        return Want.URGENT
    if model.sequences is None or len(model.crew) >= model.sequences:  # 3
        return Want.SEQUENCE
    return Want.TURN  # 4


def _klass(life: Life) -> Class:
    return life.request.klass if life.request else Class.SPECULATIVE


def _leave(model: _Model, life: Life, now: float) -> None:
    """It is in the queue no more, if it was."""
    if model.queue.pop(life.id, None) is not None:
        life.waited_s = life.waited_until(now)
        life.waiting_since_s = life.wants = None
