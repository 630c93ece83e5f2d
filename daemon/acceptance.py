"""How many suggestions were shown and accepted, by who wrote them. Counts, and no text."""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon.choice import Origin


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of one origin since the daemon's start."""

    shown: int = 0
    accepted: int = 0
    accepted_chars: int = 0


class Acceptance:
    """Keeps the tallies. A look-up's suggestions have negative numbers, a model's those of their requests."""

    def __init__(self) -> None:
        self.tallies = {origin.value: Tally() for origin in Origin}
        self._look_ups = 0

    def number_look_up(self) -> int:
        """The next number for a look-up's suggestion."""
        self._look_ups += 1
        return -self._look_ups

    def shown(self, origin: str) -> None:
        """A suggestion was handed to an editor for the first time."""
        tally = self.tallies[origin]
        self.tallies[origin] = replace(tally, shown=tally.shown + 1)

    def accepted(self, number: int, chars: int) -> None:
        """An editor says that the user took one."""
        origin = Origin.LOOK_UP if number < 0 else Origin.MODEL
        tally = self.tallies[origin]
        self.tallies[origin] = replace(
            tally, accepted=tally.accepted + 1, accepted_chars=tally.accepted_chars + chars
        )
