"""Random scenes: bursts of typing that supersede, chats, summaries, cancels, deaths, failing loads, shrinking memory."""

from __future__ import annotations

from random import Random

from engines.fake_knobs import Knobs, steady
from policies.limits import Limits
from policies.messages import Arrived, Cancelled, Event, Foreseen, MemoryChanged, Reason
from policies.request import CLASS_OF, PROMISE_OF, Class, Kind, Place, Request
from policies.view import ModelView
from tests.sim.simulator import Scene

GIB = 2**30
_OTHER_KINDS = (Kind.CHAT, Kind.EXPLAIN, Kind.TRANSLATE, Kind.SUMMARISE, Kind.INDEX, Kind.WARM)


class _Draw:
    """One scene in the making."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.models = self._models()
        self.outer: list[tuple[float, Event]] = []
        self.poison: list[int] = []
        self._next_id = 1

    def scene(self) -> Scene:
        random = self.random
        horizon_s = random.choice([2.0, 10.0, 60.0])
        for _ in range(random.randint(1, 4)):
            self._typing(random.uniform(0, horizon_s))
        for _ in range(random.randint(0, 12)):
            self._lone(random.uniform(0, horizon_s))
        total = sum(model.need_bytes for model in self.models)
        for _ in range(random.choice([0, 0, 0, 1, 2])):
            budget = random.randint(0, total)
            self.outer.append((random.uniform(0, horizon_s), MemoryChanged(budget)))
        if random.random() < 0.3:
            self.outer.append((0.0, Foreseen(random.choice(self.models).name)))
        self.outer.sort(key=lambda timed: timed[0])
        return Scene(
            models=self.models,
            limits=self._limits(total),
            outer=tuple(self.outer),
            knobs=self._knobs(),
            poison=frozenset(self.poison),
        )

    def _models(self) -> tuple[ModelView, ...]:
        random = self.random
        return tuple(
            ModelView(
                name=f"model{n}",
                kinds=frozenset(Kind) if n != 1 else frozenset({Kind.CHAT}),
                languages=frozenset(),
                need_bytes=random.randint(1, 8) * GIB,
                sequences=random.choice([0, 1, 2, 4]),
                pinned=random.random() < 0.1,
            )
            for n in range(random.randint(1, 4))
        )

    def _limits(self, total: int) -> Limits:
        random = self.random
        return Limits(
            memory_bytes=random.choice([total, total, max(m.need_bytes for m in self.models)]),
            queue_max=random.choice([4, 512]),
            queue_class_max=random.choice([2, 256]),
            setbacks_max=random.choice([2, 8]),
            drain_s=random.choice([0.0, 0.5, 5.0]),
            drain_lesser_s=random.choice([2.0, 60.0]),
            settle_s=random.choice([0.0, 10.0]),
        )

    def _knobs(self):
        """Every load draws its own fate from its own seed, so that order cannot matter."""
        base = self.random.randrange(1 << 30)
        mortal = self.random.choice([0.0, 0.0, 0.3, 1.0])
        failing = self.random.random() < 0.05
        first = self.models[0].name

        def knobs(model: str, load: int) -> Knobs:
            fate = Random(f"{base} {model} {load}")
            return Knobs(
                load_s=fate.uniform(0.1, 3),
                step_s=steady(
                    tokens_per_s=fate.uniform(20, 100),
                    prefill_tokens_per_s=fate.uniform(100, 2_000),
                ),
                can_abort=fate.random() < 0.5,
                sequences=fate.randint(1, 4),
                context_tokens=600,
                load_fails=failing and model == first,
                dies_loading=fate.random() < mortal / 2,
                dies_at_step=fate.randint(1, 20) if fate.random() < mortal else None,
            )

        return knobs

    def _typing(self, at_s: float) -> None:
        """One editor asks at every key; sometimes it moves away, sometimes it withdraws."""
        random = self.random
        client = f"editor{random.randint(1, 3)}"
        model = random.choice(self.models).name
        line = random.randint(1, 50)
        size = random.randint(40, 2_000)
        for _ in range(random.randint(1, 8)):
            kind = random.choice([Kind.COMPLETE, Kind.COMPLETE, Kind.POPUP, Kind.AHEAD])
            self._arrive(at_s, kind, model, client, size, 4, Place(client, line))
            size += random.randint(0, 40)
            line += random.choice([0, 0, 0, 1, 20])
            at_s += random.uniform(0.02, 0.5)

    def _lone(self, at_s: float) -> None:
        random = self.random
        model = random.choice([*(m.name for m in self.models)] * 8 + ["unknown"])
        kind = random.choice(_OTHER_KINDS)
        tokens_max = 0 if kind is Kind.WARM else random.randint(1, 25)
        self._arrive(at_s, kind, model, "chat", random.randint(0, 3_000), tokens_max, None)

    def _arrive(
        self,
        at_s: float,
        kind: Kind,
        model: str,
        client: str,
        size: int,
        tokens: int,
        place: Place | None,
    ) -> None:
        random = self.random
        number, self._next_id = self._next_id, self._next_id + 1
        klass = CLASS_OF[kind] if random.random() < 0.9 else random.choice(list(Class))
        request = Request(
            id=number,
            kind=kind,
            klass=klass,
            model=model,
            prompt_bytes=size,
            tokens_max=tokens,
            client=client,
            place=place,
            promise=PROMISE_OF[klass],
            expires_s=random.uniform(0.05, 5) if random.random() < 0.1 else None,
        )
        self.outer.append((at_s, Arrived(request)))
        if random.random() < 0.15:
            reason = random.choice([Reason.CLIENT, Reason.STALE])
            self.outer.append((at_s + random.uniform(0, 2), Cancelled(number, reason)))
        if random.random() < 0.02:
            self.poison.append(number)


def random_scene(seed: int) -> Scene:
    """The scene of a seed: always the same."""
    return _Draw(seed).scene()
