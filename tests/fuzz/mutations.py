"""Damage done to what was valid, which makes the inputs nearest to those that code was written for, and how often."""

from collections.abc import Callable, Sequence
from random import Random

ODD = ["\x00", "\ud800", "\udfff", "\u200b", "\u202e", "\ufeff", "\x1b", "\U0010ffff", "é", "\r"]
MARKS = [
    *list("\"'\\[](){}<>|*+?.:=#%,;-_ \n\t"),
    "::=",
    "{{",
    "}}",
    "{%",
    "%}",
    "{1,",
    "\\u",
    "$ref",
]
ROUNDS_MAX = 8


def drawn(
    rng: Random,
    valid: Sequence[str],
    makers: Sequence[Callable[[Random], str]],
    *,
    valid_share: float,
    damaged_share: float,
) -> str:
    """A valid text with damage, or one that a maker makes, of which `damaged_share` (0 to 1) get damage too."""
    if rng.random() < valid_share:
        return mutated(rng, rng.choice(valid))
    text = rng.choice(makers)(rng)
    return mutated(rng, text) if rng.random() < damaged_share else text


def mutated(rng: Random, text: str) -> str:
    """The text with a few places of it deleted, doubled, moved, or replaced."""
    for _ in range(rng.randint(1, ROUNDS_MAX)):
        at = rng.randint(0, len(text))
        end = min(len(text), at + rng.choice([1, 1, 1, 2, 5, 20]))
        piece = text[at:end]
        match rng.randrange(6):
            case 0:
                text = text[:at] + text[end:]
            case 1:
                text = text[:end] + piece * rng.choice([1, 2, 50]) + text[end:]
            case 2:
                text = text[:at] + rng.choice(MARKS) + text[at:]
            case 3:
                text = text[:at] + rng.choice(ODD) + text[end:]
            case 4:
                to = rng.randint(0, len(text))
                text = text[:to] + piece + text[to:]
            case _:
                number = rng.choice(["0", "-1", "1000000", "99999999999999999999", "1e999"])
                text = text[:at] + number + text[end:]
    return text
