"""A workstation's day in a minute: editors type in bursts, people chat, translate and summarise, and an index is built.

What people do depends on the seed alone, so that every policy meets the same day. What runs in a closed loop (each
background stream asks again as soon as it was answered) depends on the policy too, and so does how much of it is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random

from policies.messages import Arrived
from policies.request import CLASS_OF, PROMISE_OF, Kind, Place, Promise, Request

BYTES_A_TOKEN = 4
"""As the simulator writes prompts."""
SUMMARY = Promise(whole_s=3.0)
Timed = tuple[float, Arrived]


@dataclass(frozen=True, slots=True)
class Habits:
    """Who there is, and what they want. Tokens are a prompt's and an answer's; times are seconds, drawn between two ends."""

    editors: int = 2
    keys: tuple[int, int] = (2, 8)
    key_s: tuple[float, float] = (0.1, 0.4)
    rest_s: tuple[float, float] = (4.0, 14.0)
    """Between two bursts of an editor."""
    jumps: float = 0.3
    """How many bursts begin in a place of which nothing is cached."""
    completion: tuple[int, int] = (100, 16)
    chats: int = 2
    chat_s: tuple[float, float] = (12.0, 30.0)
    """Between two questions of a person."""
    chat: tuple[int, int] = (120, 60)
    translate_s: tuple[float, float] = (12.0, 30.0)
    translation: tuple[int, int] = (100, 60)
    summarise_s: tuple[float, float] = (12.0, 30.0)
    summary: tuple[int, int] = (120, 24)
    background: tuple[int, int] = (300, 200)


class People:
    """One seed's day, for as long as people ask; `coder` is asked at the cursor, `talker` everything else."""

    def __init__(
        self, seed: int, lasts_s: float, coder: str, talker: str, habits: Habits | None = None
    ) -> None:
        self.finals: set[int] = set()
        """Completions that nothing newer overtakes: what an editor shows."""
        self._lasts_s = lasts_s
        self._coder, self._talker = coder, talker
        self._habits = habits or Habits()
        self._seed = seed
        self._numbers = count(1)
        self._streams = [0] * 2

    def arrivals(self) -> list[Timed]:
        """What people ask, by time."""
        habits = self._habits
        asked: list[tuple[float, Request]] = []
        for n in range(habits.editors):
            asked += self._types(f"editor{n}")
        for n in range(habits.chats):
            asked += self._asks(Kind.CHAT, f"chat{n}", habits.chat_s, habits.chat)
        asked += self._asks(Kind.TRANSLATE, "translate", habits.translate_s, habits.translation)
        asked += self._asks(Kind.SUMMARISE, "summarise", habits.summarise_s, habits.summary)
        return [(at_s, Arrived(request)) for at_s, request in sorted(asked, key=lambda one: one[0])]

    def background(self, model: str) -> Arrived:
        """The next request of a stream that nobody waits for; its prompt is like no other."""
        number = next(self._numbers)
        return Arrived(
            self._request(number, Kind.INDEX, model, f"index{number}", self._habits.background)
        )

    def _types(self, editor: str) -> Iterator[tuple[float, Request]]:
        """Bursts of keys: each asks anew with a few tokens more, and the last answer is read."""
        habits, random = self._habits, Random(f"{self._seed} {editor}")
        prompt, answer = habits.completion
        at_s, place, grown = random.uniform(*habits.rest_s), 0, 0
        while at_s < self._lasts_s:
            if random.random() < habits.jumps:
                place, grown = place + 1, 0
            for left in reversed(range(random.randint(*habits.keys))):
                number = next(self._numbers)
                where = f"{editor}.{place}"
                tokens = (prompt + grown, answer)
                yield (
                    at_s,
                    self._request(
                        number, Kind.COMPLETE, self._coder, where, tokens, Place(editor, place)
                    ),
                )
                if not left:
                    self.finals.add(number)
                grown += random.randint(1, 4)
                at_s += random.uniform(*habits.key_s)
            at_s += random.uniform(*habits.rest_s)

    def _asks(
        self, kind: Kind, who: str, every_s: tuple[float, float], tokens: tuple[int, int]
    ) -> Iterator[tuple[float, Request]]:
        """Now and then, each time something else."""
        random = Random(f"{self._seed} {who}")
        at_s = random.uniform(0, every_s[1])
        while at_s < self._lasts_s:
            number = next(self._numbers)
            yield at_s, self._request(number, kind, self._talker, f"{who}.{number}", tokens)
            at_s += random.uniform(*every_s)

    def _request(
        self,
        number: int,
        kind: Kind,
        model: str,
        client: str,
        tokens: tuple[int, int],
        place: Place | None = None,
    ) -> Request:
        promise = SUMMARY if kind is Kind.SUMMARISE else PROMISE_OF[CLASS_OF[kind]]
        prompt, answer = tokens
        return Request(
            number,
            kind,
            CLASS_OF[kind],
            model,
            prompt * BYTES_A_TOKEN,
            answer,
            client,
            place,
            promise,
        )
