"""From tokens to text: whole characters only, blanks healed, and nothing of a stop string let out.

Replaying the same tokens gives the same text at the same points, so that a second worker which is given the
tokens already sent continues exactly where the first one stopped (ENGINE.md 4, 19, 22).
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextStream:
    """Turns the bytes of tokens into text that may be sent.

    `stops` end the text before their first occurrence. `healed` are the blanks that were dropped from the end
    of the prompt: the model writes them again and they are taken off here.
    """

    def __init__(self, stops: Sequence[str] = (), healed: str = "") -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._healed = healed
        self._held = ""
        self.stopped_by: str | None = None

    def push(self, data: bytes) -> str:
        """Take a token's bytes; return the text that may go out now."""
        if self.stopped_by is not None:
            return ""
        self._held += self._decoder.decode(data)
        if self._healed and not self._heal():
            return ""
        return self._release()

    def close(self) -> str:
        """Return what was held back and turned out to be no stop string.

        The beginning of a character that was cut off by the token limit is dropped: half of it is no text.
        """
        if self.stopped_by is not None:
            return ""
        if self._healed:
            self._held = ""
        at, stop = self._first_stop()
        if stop:
            return self._end_at(at, stop)
        out, self._held = self._held, ""
        return out

    def _heal(self) -> bool:
        """Take the dropped blanks off the front; False while it cannot be decided yet."""
        if len(self._held) < len(self._healed) and self._healed.startswith(self._held):
            return False
        if self._held.startswith(self._healed):
            self._held = self._held[len(self._healed) :]
        else:
            self._held = self._held.lstrip(" \t")
        self._healed = ""
        return True

    def _release(self) -> str:
        """Let out what cannot belong to a stop string.

        A stop string that is whole must wait while a longer one that begins before it may still come true.
        """
        begun = len(self._held) - max((self._overhang(stop) for stop in self._stops), default=0)
        at, stop = self._first_stop()
        if stop and at <= begun:
            return self._end_at(at, stop)
        out, self._held = self._held[:begun], self._held[begun:]
        return out

    def _first_stop(self) -> tuple[int, str]:
        """Return where the first whole stop string begins, and which it is; an empty one where there is none."""
        met = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        return min(met, key=lambda found: found[0], default=(len(self._held), ""))

    def _end_at(self, at: int, stop: str) -> str:
        out, self._held, self.stopped_by = self._held[:at], "", stop
        return out

    def _overhang(self, stop: str) -> int:
        """Return the length of the longest end of the text that could begin this stop string."""
        held = self._held
        for size in range(min(len(stop) - 1, len(held)), 0, -1):
            if held.endswith(stop[:size]):
                return size
        return 0
