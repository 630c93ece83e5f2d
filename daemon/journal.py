"""What was decided, and on what facts: a bounded record of (now, event, actions), in memory and, if asked, on disk.

It holds sizes, kinds and times, and never text. The simulator writes the same record, and feeding the events of one
to a scheduler must give its actions again: that is how a day of real use becomes a regression test.

A line on disk is JSON: {"now": 12.5, "event": ["Stopped", {...}], "actions": [["End", {...}], ...]}.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, get_args

import msgspec

from policies.messages import Action, Event

_EVENTS: dict[str, Any] = {kind.__name__: kind for kind in get_args(Event)}
_ACTIONS: dict[str, Any] = {kind.__name__: kind for kind in get_args(Action)}


@dataclass(frozen=True, slots=True)
class Entry:
    """One event, when it was handled, and what was decided."""

    now: float
    event: Event
    actions: tuple[Action, ...]


class Journal:
    """The last `entries_max` entries; and all of them in a file, if it is given one."""

    def __init__(self, entries_max: int = 20_000, file: JournalFile | None = None) -> None:
        self._entries: deque[Entry] = deque(maxlen=entries_max)
        self._file = file

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def append(self, now: float, event: Event, actions: Sequence[Action]) -> None:
        """Note one decision."""
        entry = Entry(now, event, tuple(actions))
        self._entries.append(entry)
        if self._file:
            try:
                self._file.write(entry)
            except OSError:  # a full disk must not end the daemon; what is in memory goes on
                self._file = None

    def close(self) -> None:
        """Put the file's last lines on disk, where it has room for them."""
        if self._file:
            with contextlib.suppress(OSError):
                self._file.close()


class JournalFile:
    """JSON lines on disk. Past `bytes_max` the file is renamed to `.old` and a new one begun: two at most."""

    def __init__(self, path: Path, bytes_max: int = 64 * 2**20) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._file: BinaryIO = path.open("ab")
        self._size = path.stat().st_size

    def write(self, entry: Entry) -> None:
        """Append one entry."""
        line = encode(entry)
        if self._size and self._size + len(line) > self._bytes_max:
            self._turn_over()
        self._size += self._file.write(line)

    def close(self) -> None:
        """Put the last lines on disk."""
        self._file.close()

    def _turn_over(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_suffix(self._path.suffix + ".old"))
        self._file = self._path.open("wb")
        self._size = 0


def encode(entry: Entry) -> bytes:
    """One line, its newline included."""
    line = {
        "now": entry.now,
        "event": _named(entry.event),
        "actions": [_named(action) for action in entry.actions],
    }
    return msgspec.json.encode(line) + b"\n"


def decode(line: bytes) -> Entry:
    """The entry a line was made of. Raises `msgspec.ValidationError` or `KeyError` for any other line."""
    raw = msgspec.json.decode(line)
    return Entry(
        now=float(raw["now"]),
        event=_typed(raw["event"], _EVENTS),
        actions=tuple(_typed(action, _ACTIONS) for action in raw["actions"]),
    )


def read(lines: Iterable[bytes]) -> Iterator[Entry]:
    """Every entry of a file opened in binary mode."""
    return (decode(line) for line in lines if line.strip())


def _named(message: Event | Action) -> tuple[str, Event | Action]:
    return (type(message).__name__, message)


def _typed(pair: Sequence[Any], kinds: dict[str, Any]) -> Any:
    name, fields = pair
    return msgspec.convert(fields, kinds[name])
