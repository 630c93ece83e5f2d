"""The live driver of the scheduler: takes the next event and the time, asks, notes, carries out, sets one alarm.

Everything happens on one loop and events reach the scheduler one by one, in their order, so nothing needs a lock.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from daemon.effects import Effects, MakeEngine
from daemon.journal import Journal
from daemon.metrics import Latencies
from daemon.snapshot import ModelSnapshot, Snapshot
from daemon.tickets import Ask, Desk, Ticket
from engines.engine import Chat, Embed, Fim, Job, Plain, Prompt
from engines.shelf import Shelf
from policies.chain import Chain
from policies.limits import Limits
from policies.messages import (
    Arrived,
    Cancelled,
    End,
    Event,
    Foreseen,
    MemoryChanged,
    Outcome,
    Prepared,
    Reason,
    Stepped,
    Tick,
)
from policies.placement import place
from policies.regimes import Regime
from policies.request import CLASS_OF, PROMISE_OF, Request
from policies.scheduler import Scheduler
from policies.view import ModelView, Standing

CLOSE_S = 1.5
"""How long engines may take to close by themselves when the daemon ends."""

_OF_MODEL = (Reason.NO_ROOM, Reason.LOAD_FAILED, Reason.ENGINE, Reason.POISON)
"""Ends that a word about the model explains."""
_MEASUREMENTS = (Stepped, Prepared)
"""Events that seldom call for anything: many a second, on the cores that compute the tokens."""
GIB = 2**30


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A configured model: what policies know of it, and the file it comes from."""

    view: ModelView
    path: str = ""


class Orchestrator:
    """Requests in, tickets out. `make_engine(name, receive)` makes the engine of one load; `shelf` is where they park."""

    def __init__(
        self,
        models: Sequence[ModelEntry],
        make_engine: MakeEngine,
        *,
        limits: Limits | None = None,
        regime: Regime | None = None,
        chains: Sequence[Chain] = (),
        journal: Journal | None = None,
        shelf: Shelf | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.journal = Journal() if journal is None else journal
        self._models = tuple(models)
        self._views = tuple(model.view for model in models)
        self._clock = clock
        self._scheduler = Scheduler(self._views, limits or Limits(), regime, chains)
        self._desk = Desk()
        self._requests: dict[int, Request] = {}
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._effects = Effects(
            [view.name for view in self._views],
            make_engine,
            self._desk,
            post=self._post,
            answer=self._answer,
            changed=self._changed,
            clock=clock,
            shelf=shelf,
        )
        self._alarm: asyncio.TimerHandle | None = None
        self._closing = False
        self._latencies = Latencies()
        self._outcomes: Counter[str] = Counter()
        self._listeners: dict[int, Callable[[], None]] = {}
        self._listener_next = 0
        self._telling = False

    # --- for the edges ----------------------------------------------------------------------------------

    def submit(self, ask: Ask) -> Ticket:
        """Take a request. It is refused, where it is, by the end of its ticket, never by an exception."""
        now = self._clock()
        number = self._desk.take_number()
        found = place(self._views, kind=ask.kind, language=ask.language, name=ask.model)
        model = ask.model if found is None else found
        ticket = self._desk.add(Ticket(number, model, now, self._withdraw))
        if self._closing:
            self._desk.close(number, Outcome.REFUSED, Reason.SHUTDOWN, now)
            return ticket
        request = _request(number, ask, model)
        self._requests[number] = request
        self._effects.jobs[number] = _job(number, ask)
        self._events.put_nowait(Arrived(request))
        return ticket

    def withdraw_client(self, client: str) -> None:
        """End everything a client still waits for: it is gone."""
        for request in self._requests.values():
            if request.client == client:
                self._withdraw(request.id, Reason.CLIENT)

    def preload(self, model: str) -> None:
        """Load a model that will be needed soon, where that takes memory from nobody."""
        self._events.put_nowait(Foreseen(model))

    def set_memory(self, budget_bytes: int) -> None:
        """What models may use has changed."""
        self._events.put_nowait(MemoryChanged(budget_bytes))

    def watch(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call the listener soon after any change of state, once for many; the answer ends that."""
        number, self._listener_next = self._listener_next, self._listener_next + 1
        self._listeners[number] = listener

        def unsubscribe() -> None:
            self._listeners.pop(number, None)

        return unsubscribe

    def snapshot(self) -> Snapshot:
        """What the daemon looks like now."""
        picture = self._scheduler.picture()
        pairs = zip(self._models, picture.models, strict=True)
        models = tuple(self._model_snapshot(entry, standing) for entry, standing in pairs)
        return Snapshot(
            models=models,
            queued=picture.waiting,
            running=picture.running,
            latency=self._latencies.snapshot(),
            ended=dict(self._outcomes),
            memory_budget_bytes=picture.memory_bytes,
            memory_used_bytes=sum(model.usage.total_bytes for model in models),
        )

    # --- the driver -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Handle events until cancelled."""
        while True:
            self._handle(await self._events.get())

    async def close(self) -> None:
        """End every ticket, let the engines close, and kill those that have not after `CLOSE_S`."""
        self._closing = True
        self._handle_posted()
        for number in tuple(self._requests):
            self._handle(Cancelled(number, Reason.SHUTDOWN))
        self._effects.unload_all()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._effects.quiet.wait()
        except TimeoutError:
            self._effects.kill_all()
        if self._alarm:
            self._alarm.cancel()
        self.journal.close()

    def _post(self, event: Event) -> None:
        """Let an event wait its turn. A measurement whose turn it is already wakes no task."""
        if isinstance(event, _MEASUREMENTS) and self._events.empty():
            self._handle(event)
        else:
            self._events.put_nowait(event)

    def _handle_posted(self) -> None:
        while not self._events.empty():
            self._handle(self._events.get_nowait())

    def _handle(self, event: Event) -> None:
        """Take the next event and the time; ask; note; carry out; set the alarm."""
        now = self._clock()
        actions = self._scheduler.handle(event, now=now)
        self.journal.append(now, event, actions)
        if isinstance(event, _MEASUREMENTS) and not actions:
            return
        for action in actions:
            self._effects.perform(action)
        self._rearm(now)
        self._changed()

    def _rearm(self, now: float) -> None:
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        if (due := self._scheduler.next_wakeup()) is not None:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(due - now, self._events.put_nowait, Tick())

    # --- what actions lead to ---------------------------------------------------------------------------

    def _withdraw(self, number: int, reason: Reason) -> None:
        self._events.put_nowait(Cancelled(number, reason))

    def _answer(self, end: End) -> None:
        """Close a ticket, and keep of it what status pages show."""
        request = self._requests.pop(end.request_id)
        del self._effects.jobs[end.request_id]
        detail = self._explain(end.reason, request.model) if end.reason in _OF_MODEL else ""
        result = self._desk.close(request.id, end.outcome, end.reason, self._clock(), detail)
        self._outcomes[end.outcome] += 1
        if end.outcome is Outcome.DONE:
            self._latencies.note(request.klass, ttft_s=result.first_token_s, e2e_s=result.whole_s)

    def _explain(self, reason: Reason, model: str) -> str:
        """What a caller should know of a model that could not serve it."""
        if reason is not Reason.NO_ROOM:
            return self._effects.seats[model].detail
        need = next(view.need_bytes for view in self._views if view.name == model)
        budget = self._scheduler.picture().memory_bytes
        return (
            f"{model} needs {need / GIB:.1f} GiB; models may use {budget / GIB:.1f} GiB together, "
            "those that are pinned included"
        )

    def _changed(self) -> None:
        if self._listeners and not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._telling = False
        for listener in tuple(self._listeners.values()):
            listener()

    def _model_snapshot(self, entry: ModelEntry, standing: Standing) -> ModelSnapshot:
        seat = self._effects.seats[standing.name]
        return ModelSnapshot(
            name=standing.name,
            path=entry.path,
            kinds=tuple(sorted(entry.view.kinds)),
            languages=tuple(sorted(entry.view.languages)),
            phase=standing.phase,
            progress=seat.progress,
            detail=seat.detail,
            loaded=seat.loaded,
            usage=seat.usage(self._clock()),
            running=standing.running,
            prefill_tokens_per_s=standing.speed.prefill.per_s,
            decode_tokens_per_s=standing.speed.decode.per_s,
            deaths=standing.deaths,
        )


def _request(number: int, ask: Ask, model: str) -> Request:
    """What the scheduler may know of an ask: everything but its text."""
    klass = CLASS_OF[ask.kind] if ask.klass is None else ask.klass
    return Request(
        id=number,
        kind=ask.kind,
        klass=klass,
        model=model,
        prompt_bytes=_bytes_of(ask.prompt),
        tokens_max=ask.tokens_max,
        client=ask.client,
        place=ask.place,
        promise=PROMISE_OF[klass] if ask.promise is None else ask.promise,
        expires_s=ask.expires_s,
        link=ask.link,
    )


def _job(number: int, ask: Ask) -> Job:
    return Job(
        request_id=number,
        prompt=ask.prompt,
        tokens_max=ask.tokens_max,
        sampling=ask.sampling,
        stops=ask.stops,
        constraint=ask.constraint,
        logprobs=ask.logprobs,
        tops=ask.tops,
        predict_s_max=ask.predict_s_max,
    )


def _bytes_of(prompt: Prompt) -> int:
    """How long its texts are together, in UTF-8."""
    match prompt:
        case Fim():
            texts = [prompt.prefix, prompt.suffix, *(chunk.text for chunk in prompt.chunks)]
        case Plain() | Embed():
            texts = [prompt.text]
        case Chat():
            texts = [message.content for message in prompt.messages]
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
