"""The instant tier: completes a line from what the file itself already says. No model, no language, no state.

The end of the text before the cursor is sought elsewhere in the file, then in the other open files; what followed
it there is proposed, with the probability that it is exactly what the user will write. It never raises on any text
and takes about a millisecond whatever the size of the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

WINDOW_CHARS: Final = 20_000  # of the file, on either side of the cursor
OTHER_CHARS: Final = 20_000  # of each other open file
OTHERS_MAX: Final = 4
CANDIDATES_MAX: Final = 64
MATCH_CHARS_MIN: Final = 2
MATCH_CHARS_MAX: Final = 400
AFTER_CHARS_MAX: Final = 60
NEAR_LINES: Final = 80  # looked at for lines alike, on either side
NEAR_CHARS: Final = 8_000

OPENING: Final = "([{"
CLOSING: Final = ")]}"
_PIECE: Final = re.compile(r"[^\W\d]\w*|\d+|[^\w\s]|\s+")

SHOWN_ABOVE: Final = 0.5
"""On 1,200 held-out places in Python 21 % of the look-ups are surer than this, and 75 % of those are exactly
right. In five languages that nothing was fitted to (C headers, Perl, shell, Lua, JavaScript; 600 places each) it is
12 to 17 % of the look-ups, and 61 to 77 % of those."""

# Fitted by `embedded/train/calibrate.py` to 10,000 places in files of the training corpus, half of them between words
# and half anywhere in a line; the names are those of `_describe`, logarithms are to base 2.
BIAS: Final = -3.855
WEIGHTS: Final = {
    "log_matched": 0.416,
    "log_of_longest": 0.625,
    "log_after": 0.262,
    "share": 4.792,
    "log_seen": 0.787,
    "root_texts": -0.494,
    "log_length": -0.556,
    "log_beyond_line": 0.137,
    "in_word": -0.219,
    "splits_word": 0.715,
    "closes_too_much": -1.834,
    "repeats_neighbour": -2.088,
    "is_place": -2.324,
    "is_alike": 1.536,
    "alike_share": 2.625,
    "alike_log_same": 0.456,
    "alike_renamed": -0.716,
    "alike_puts_in": 2.120,
    "alike_log_away": -0.447,
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
    within = _seen_within(cursor)
    best = _best(cursor, within, "file")
    if others and (best is None or best.confidence < SHOWN_ABOVE):
        elsewhere = _places(cursor, [text[:OTHER_CHARS] for text in others[:OTHERS_MAX]])
        rival = _best(cursor, [*within, *elsewhere], "open file") if elsewhere else None
        if rival and (best is None or rival.confidence > best.confidence):
            best = rival
    return best


def considered(prefix: str, suffix: str) -> list[tuple[str, dict[str, float]]]:
    """Return every text that the file offers, with what the estimate is made of: to fit the weights by."""
    cursor = _Cursor.at(prefix, suffix)
    within = _seen_within(cursor)
    return [(text, _describe(cursor, text, own, within)) for text, own in _by_text(within).items()]


@dataclass(frozen=True, slots=True)
class _Cursor:
    """The text around the cursor, within the window."""

    before: str
    head: str  # the cursor's line up to the cursor
    tail: str  # the cursor's line from the cursor on, without the blanks at its end
    below: str  # the lines after the cursor's

    @classmethod
    def at(cls, prefix: str, suffix: str) -> _Cursor:
        before, after = prefix[-WINDOW_CHARS:], suffix[:WINDOW_CHARS]
        tail, _, below = after.partition("\n")
        return cls(before, before[before.rfind("\n") + 1 :], tail.rstrip(), below)


@dataclass(frozen=True, slots=True)
class _Place:
    """One other place where the text before the cursor ends in the same way."""

    text: str  # what follows there, up to the end of the line; "" where the line ends
    matched_chars: int
    after_chars: int  # how far the lines that follow there agree with those after the cursor

    @property
    def weight(self) -> float:
        return float((self.matched_chars + 2 * self.after_chars) ** 2)


def _seen_within(cursor: _Cursor) -> list[_Place | _LineAlike]:
    return [*_places(cursor, (cursor.before[:-1], cursor.below)), *_lines_alike(cursor)]


def _places(cursor: _Cursor, texts: Sequence[str]) -> list[_Place]:
    anchor = _anchor(cursor.before, texts)
    places = (_place(cursor, text, end) for text in texts for end in _ends(text, anchor))
    return [place for place in places if place is not None]


def _anchor(before: str, texts: Sequence[str]) -> str:
    """Return the shortest end of `before` rare enough in `texts` to look at each place; "" if none is."""
    longest = max((_longest_end(before, text) for text in texts), default=0)
    if longest < MATCH_CHARS_MIN:
        return ""
    for n_chars in (3, 4, 6, 8, 12, 16, 24, 32, 48, 64):
        anchor = before[-n_chars:]
        if n_chars < longest and sum(text.count(anchor) for text in texts) <= CANDIDATES_MAX:
            return anchor
    return before[-longest:]


def _longest_end(before: str, text: str) -> int:
    """Return the length of the longest end of `before` that occurs in `text`."""
    limit = min(MATCH_CHARS_MAX, len(before))
    return _greatest(limit, lambda n_chars: before[-n_chars:] in text)


def _greatest(limit: int, holds: Callable[[int], bool]) -> int:
    """Return the greatest number up to `limit` for which `holds`, by bisection; 0 where none does."""
    known = 0
    while known < limit:
        tried = (known + limit + 1) // 2
        if holds(tried):
            known = tried
        else:
            limit = tried - 1
    return known


def _ends(text: str, anchor: str) -> list[int]:
    """Return where `anchor` ends in `text`, the last places first."""
    ends = [match.end() for match in re.finditer(re.escape(anchor), text)] if anchor else []
    return ends[: -CANDIDATES_MAX - 1 : -1]


def _place(cursor: _Cursor, text: str, end: int) -> _Place | None:
    """Describe the place in `text` where the anchor ends; None where its line is cut or misfits."""
    newline = text.find("\n", end)
    if newline < 0:
        return None  # the cursor's own line, or one that the window cuts off
    rest = text[end:newline].rstrip()
    if cursor.tail:  # what stands after the cursor must be what ends the line there too
        if not rest.endswith(cursor.tail):
            return None
        rest = rest[: -len(cursor.tail)]
    before, below, start = cursor.before, cursor.below, newline + 1
    matched = _greatest(
        min(MATCH_CHARS_MAX, end, len(before)), lambda n: text.startswith(before[-n:], end - n)
    )
    after = _greatest(
        min(AFTER_CHARS_MAX, len(text) - start, len(below)),
        lambda n: text.startswith(below[:n], start),
    )
    return _Place(rest, matched, after)


@dataclass(frozen=True, slots=True)
class _LineAlike:
    """A line nearby that begins like the cursor's line but for some names."""

    text: str  # how it goes on, with the names of the cursor's line put in
    n_same: int
    n_renamed: int
    n_put_in: int
    n_lines_away: int


def _lines_alike(cursor: _Cursor) -> Iterator[_LineAlike]:
    """Find lines such as `self.b = b` for the beginning `self.a = `."""
    head = _PIECE.findall(cursor.head.lstrip())
    if not cursor.head.strip() or cursor.tail:
        return
    above = cursor.before[-NEAR_CHARS:].split("\n")[-NEAR_LINES - 1 : -1]
    below = cursor.below[:NEAR_CHARS].split("\n")[:NEAR_LINES]
    for n_lines_away, line in (*enumerate(reversed(above)), *enumerate(below)):
        if head[-1].isspace() or head[-1].isidentifier() or head[-1] in line:
            alike = _line_alike(head, _PIECE.findall(line.strip()), n_lines_away)
            if alike is not None:
                yield alike


def _line_alike(head: list[str], line: list[str], n_lines_away: int) -> _LineAlike | None:
    if len(line) <= len(head) or _goes_on(head[-1], line[len(head) - 1]):
        return None
    ours_for: dict[str, str] = {}
    n_same = 0
    for ours, theirs in zip(head, line, strict=False):
        if ours == theirs:
            n_same += 1
        elif not _may_stand_for(ours, theirs) or ours_for.setdefault(theirs, ours) != ours:
            return None
    rest = line[len(head) :]
    n_put_in = sum(piece in ours_for for piece in rest)
    text = "".join(ours_for.get(piece, piece) for piece in rest).rstrip()
    return _LineAlike(text, n_same, len(ours_for), n_put_in, n_lines_away) if ours_for else None


def _goes_on(ours: str, theirs: str) -> bool:
    """Return whether the word under the cursor may be the beginning of theirs, not another name."""
    return ours != theirs and theirs.startswith(ours)


def _may_stand_for(ours: str, theirs: str) -> bool:
    both_names = ours.isidentifier() and theirs.isidentifier()
    return both_names or (ours.isdigit() and theirs.isdigit())


def _best(cursor: _Cursor, seen: Sequence[_Place | _LineAlike], source: str) -> Found | None:
    best: Found | None = None
    for text, own in _by_text(seen).items():
        confidence = _probability(_describe(cursor, text, own, seen))
        if best is None or confidence > best.confidence:
            matched = [each.matched_chars for each in own if isinstance(each, _Place)]
            best = Found(text, max(matched, default=len(cursor.head)), confidence, source)
    return best


def _by_text(seen: Sequence[_Place | _LineAlike]) -> dict[str, list[_Place | _LineAlike]]:
    """Group by what follows; places where nothing does are no answers."""
    groups: dict[str, list[_Place | _LineAlike]] = {}
    for each in seen:
        if each.text.strip():
            groups.setdefault(each.text, []).append(each)
    return groups


def _describe(
    cursor: _Cursor,
    text: str,
    own: Sequence[_Place | _LineAlike],
    seen: Sequence[_Place | _LineAlike],
) -> dict[str, float]:
    """Return what the estimate of being right is made of, for one proposed text."""
    in_word = _is_word(cursor.before[-1])
    line = (cursor.head + text + cursor.tail).strip()
    features = dict.fromkeys(WEIGHTS, 0.0) | {
        "log_length": math.log2(len(text)),
        "in_word": float(in_word),
        "splits_word": float(in_word and _is_word(text[0])),
        "closes_too_much": float(closers(text) > openers(cursor.head)),
        "repeats_neighbour": float(line in _neighbours(cursor)),
    }
    if places := [each for each in own if isinstance(each, _Place)]:
        every = [each for each in seen if isinstance(each, _Place)]
        features |= _describe_places(cursor, places, every)
    if alike := [each for each in own if isinstance(each, _LineAlike)]:
        features |= _describe_lines(alike, [e for e in seen if isinstance(e, _LineAlike)])
    return features


def _describe_places(
    cursor: _Cursor, own: Sequence[_Place], every: Sequence[_Place]
) -> dict[str, float]:
    matched = max(place.matched_chars for place in own)
    longest = max(place.matched_chars for place in every)
    return {
        "is_place": 1.0,
        "log_matched": math.log2(matched),
        "log_of_longest": math.log2(matched / longest),
        "log_after": math.log2(1 + max(place.after_chars for place in own)),
        "share": sum(place.weight for place in own) / sum(place.weight for place in every),
        "log_seen": math.log2(len(every)),
        "root_texts": math.sqrt(len({place.text for place in every})),
        "log_beyond_line": math.log2(max(1, matched - len(cursor.head.lstrip()))),
    }


def _describe_lines(own: Sequence[_LineAlike], every: Sequence[_LineAlike]) -> dict[str, float]:
    return {
        "is_alike": 1.0,
        "alike_share": sum(a.n_same**2 for a in own) / max(1, sum(a.n_same**2 for a in every)),
        "alike_log_same": math.log2(1 + max(alike.n_same for alike in own)),
        "alike_renamed": float(min(alike.n_renamed for alike in own)),
        "alike_puts_in": float(any(alike.n_put_in for alike in own)),
        "alike_log_away": math.log2(1 + min(alike.n_lines_away for alike in own)),
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
