"""The instant tier: completes a line from what the file itself already says. No model, no language, no state.

The end of the text before the cursor is sought elsewhere in the file, then in the other open files; what followed
it there is proposed, with the probability that it is exactly what the user will write. It never raises on any text
and takes about a millisecond whatever the size of the file.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

WINDOW_CHARS: Final = 20_000  # of the file, on either side of the cursor
OTHER_CHARS: Final = 20_000  # of each other open file
OTHERS_MAX: Final = 4
CANDIDATES_MAX: Final = 64
MATCH_CHARS_MIN: Final = 2
MATCH_CHARS_MAX: Final = 400
AFTER_CHARS_MAX: Final = 60

OPENING: Final = "([{"
CLOSING: Final = ")]}"

SHOWN_ABOVE: Final = 0.5

BIAS: Final = -5.101
WEIGHTS: Final = {
    "log_matched": 0.497,
    "log_of_longest": 0.613,
    "log_after": 0.267,
    "share": 4.888,
    "log_seen": 0.815,
    "root_texts": -0.517,
    "log_distance": -0.1,
    "log_length": -0.548,
    "log_beyond_line": 0.033,
    "in_word": -0.053,
    "splits_word": 0.281,
    "may_end_here": -0.207,
    "closes_too_much": -2.378,
    "repeats_neighbour": -2.739,
    "foreign": 0.0,
}


@dataclass(frozen=True, slots=True)
class Found:
    """The rest of a line, taken from where the same text stood before.

    `confidence` is the estimated probability that `text` is exactly the rest of the line;
    `source` is "file" or "open file".
    """

    text: str
    matched_chars: int
    confidence: float
    source: str


def look_up(prefix: str, suffix: str, *, others: Sequence[str] = ()) -> Found | None:
    """Return the best guess at the rest of the line however weak, or None where nothing matches.

    Show it only above `SHOWN_ABOVE`.
    """
    cursor = _Cursor.at(prefix, suffix)
    if not cursor.before.strip():
        return None
    within = list(_occurrences_around(cursor))
    best = _best(cursor, within, "file")
    if others and (best is None or best.confidence < SHOWN_ABOVE):
        elsewhere = list(_occurrences_in_others(cursor, others))
        rival = _best(cursor, within + elsewhere, "open file") if elsewhere else None
        if rival and (best is None or rival.confidence > best.confidence):
            best = rival
    return best


@dataclass(frozen=True, slots=True)
class _Cursor:
    """The text around the cursor, within the window."""

    before: str
    after: str  # from the cursor on
    head: str  # the cursor's line up to the cursor
    tail: str  # the cursor's line from the cursor on, without the blanks at its end
    below: str  # the lines after the cursor's

    @classmethod
    def at(cls, prefix: str, suffix: str) -> "_Cursor":
        before, after = prefix[-WINDOW_CHARS:], suffix[:WINDOW_CHARS]
        tail, _, below = after.partition("\n")
        return cls(before, after, before[before.rfind("\n") + 1 :], tail.rstrip(), below)


@dataclass(frozen=True, slots=True)
class _Occurrence:
    """One other place where the text before the cursor ends in the same way."""

    text: str  # what follows there, up to the end of the line; "" where the line ends
    matched_chars: int
    after_chars: int  # how far the lines that follow there agree with those after the cursor
    distance: int
    foreign: bool = False

    @property
    def weight(self) -> float:
        return float((self.matched_chars + 2 * self.after_chars) ** 2)


def _occurrences_around(cursor: _Cursor) -> Iterator[_Occurrence]:
    above, below = cursor.before[:-1], cursor.below
    anchor = _anchor(cursor.before, (above, below))
    if not anchor:
        return
    for end in _ends_backwards(above, anchor):
        if (seen := _occurrence(cursor, above, end, len(above) - end)) is not None:
            yield seen
    for end in _ends_forwards(below, anchor):
        if (seen := _occurrence(cursor, below, end, end)) is not None:
            yield seen


def _occurrences_in_others(cursor: _Cursor, others: Sequence[str]) -> Iterator[_Occurrence]:
    texts = tuple(text[:OTHER_CHARS] for text in others[:OTHERS_MAX])
    anchor = _anchor(cursor.before, texts)
    for text in texts if anchor else ():
        for end in _ends_forwards(text, anchor):
            if (seen := _occurrence(cursor, text, end, WINDOW_CHARS, foreign=True)) is not None:
                yield seen


def _anchor(before: str, texts: Sequence[str]) -> str:
    """Return the shortest end of `before` that is rare enough in `texts` to look at each place."""
    longest = max((_longest_end(before, text) for text in texts), default=0)
    if longest < MATCH_CHARS_MIN:
        return ""
    for n_chars in (3, 4, 6, 8, 12, 16, 24, 32, 48, 64):
        anchor = before[-n_chars:]
        if n_chars < longest and sum(text.count(anchor) for text in texts) <= CANDIDATES_MAX:
            return anchor
    return before[-longest:]


def _longest_end(before: str, text: str) -> int:
    """Return the length of the longest end of `before` that occurs in `text`, by bisection."""
    known, limit = 0, min(MATCH_CHARS_MAX, len(before))
    while known < limit:
        tried = (known + limit + 1) // 2
        known, limit = (tried, limit) if before[-tried:] in text else (known, tried - 1)
    return known


def _ends_backwards(text: str, anchor: str) -> Iterator[int]:
    at = text.rfind(anchor)
    for _ in range(CANDIDATES_MAX):
        if at < 0:
            return
        yield at + len(anchor)
        at = text.rfind(anchor, 0, at + len(anchor) - 1)


def _ends_forwards(text: str, anchor: str) -> Iterator[int]:
    at = text.find(anchor)
    for _ in range(CANDIDATES_MAX):
        if at < 0:
            return
        yield at + len(anchor)
        at = text.find(anchor, at + 1)


def _occurrence(
    cursor: _Cursor, text: str, end: int, distance: int, *, foreign: bool = False
) -> _Occurrence | None:
    """Describe the place in `text` where the anchor ends; None where its line is cut or misfits."""
    newline = text.find("\n", end)
    if newline < 0:
        return None  # the cursor's own line, or one that the window cuts off
    rest = text[end:newline].rstrip()
    if cursor.tail:  # what stands after the cursor must be what ends the line there too
        if not rest.endswith(cursor.tail):
            return None
        rest = rest[: -len(cursor.tail)]
    matched = _agreement_before(text, end, cursor.before)
    after = _agreement_after(text, newline + 1, cursor.below)
    return _Occurrence(rest, matched, after, distance, foreign)


def _agreement_before(text: str, end: int, before: str) -> int:
    known, limit = 0, min(MATCH_CHARS_MAX, end, len(before))
    while known < limit:
        tried = (known + limit + 1) // 2
        same = text.startswith(before[-tried:], end - tried)
        known, limit = (tried, limit) if same else (known, tried - 1)
    return known


def _agreement_after(text: str, start: int, below: str) -> int:
    known, limit = 0, min(AFTER_CHARS_MAX, len(text) - start, len(below))
    while known < limit:
        tried = (known + limit + 1) // 2
        same = text.startswith(below[:tried], start)
        known, limit = (tried, limit) if same else (known, tried - 1)
    return known


def considered(prefix: str, suffix: str) -> list[tuple[str, dict[str, float]]]:
    """Return every text that the file offers, with what the estimate is made of: to fit the weights by."""
    cursor = _Cursor.at(prefix, suffix)
    occurrences = list(_occurrences_around(cursor))
    return [
        (text, _describe(cursor, text, agreeing, occurrences))
        for text, agreeing in _by_text(occurrences).items()
    ]


def _best(cursor: _Cursor, occurrences: Sequence[_Occurrence], source: str) -> Found | None:
    best: Found | None = None
    for text, agreeing in _by_text(occurrences).items():
        confidence = _probability(_describe(cursor, text, agreeing, occurrences))
        if best is None or confidence > best.confidence:
            matched = max(seen.matched_chars for seen in agreeing)
            best = Found(text, matched, confidence, source)
    return best


def _by_text(occurrences: Sequence[_Occurrence]) -> dict[str, list[_Occurrence]]:
    """Group the places by what follows there; those where nothing does are not answers."""
    groups: dict[str, list[_Occurrence]] = {}
    for seen in occurrences:
        if seen.text.strip():
            groups.setdefault(seen.text, []).append(seen)
    return groups


def _describe(
    cursor: _Cursor, text: str, agreeing: Sequence[_Occurrence], all_seen: Sequence[_Occurrence]
) -> dict[str, float]:
    """Return what the estimate of being right is made of, for one proposed text."""
    matched = max(seen.matched_chars for seen in agreeing)
    longest = max(seen.matched_chars for seen in all_seen)
    in_word = _is_word(cursor.before[-1])
    line = (cursor.head + text + cursor.tail).strip()
    return {
        "log_matched": math.log2(matched),
        "log_of_longest": math.log2(matched / longest),
        "log_after": math.log2(1 + max(seen.after_chars for seen in agreeing)),
        "share": sum(seen.weight for seen in agreeing) / sum(seen.weight for seen in all_seen),
        "log_seen": math.log2(len(all_seen)),
        "root_texts": math.sqrt(len({seen.text for seen in all_seen})),
        "log_distance": math.log2(1 + min(seen.distance for seen in agreeing)),
        "log_length": math.log2(len(text)),
        "log_beyond_line": math.log2(max(1, matched - len(cursor.head.lstrip()))),
        "in_word": float(in_word),
        "splits_word": float(in_word and _is_word(text[0])),
        "may_end_here": float(any(not seen.text for seen in all_seen)),
        "closes_too_much": float(closers(text) > openers(cursor.head)),
        "repeats_neighbour": float(line in _neighbours(cursor)),
        "foreign": float(all(seen.foreign for seen in agreeing)),
    }


def openers(line: str) -> int:
    """Count the brackets that `line` leaves open."""
    return _unmatched(line, OPENING, CLOSING)


def closers(line: str) -> int:
    """Count the brackets that `line` closes without having opened them."""
    return _unmatched(line[::-1], CLOSING, OPENING)


def _unmatched(line: str, counted: str, against: str) -> int:
    """Count what is left of `counted` when each of `against` takes away one that came before it."""
    n_left = 0
    for char in line:
        if char in counted:
            n_left += 1
        elif char in against and n_left:
            n_left -= 1
    return n_left


def _neighbours(cursor: _Cursor) -> tuple[str, str]:
    above = cursor.before[: len(cursor.before) - len(cursor.head)].rstrip()
    return above[above.rfind("\n") + 1 :].strip(), cursor.below.lstrip().partition("\n")[0].strip()


def _is_word(char: str) -> bool:
    return char == "_" or char.isalnum()


def _probability(features: dict[str, float]) -> float:
    score = BIAS + sum(WEIGHTS[name] * value for name, value in features.items())
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, score))))
