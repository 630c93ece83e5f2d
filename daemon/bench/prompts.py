"""Code that nobody wrote: prompts invented from a seed, so that two runs ask the same and nothing is read from disk."""

from __future__ import annotations

import random

NOUNS = [
    "item",
    "order",
    "user",
    "node",
    "price",
    "file",
    "token",
    "record",
    "batch",
    "index",
    "window",
    "worker",
    "page",
    "total",
]
VERBS = [
    "load",
    "save",
    "merge",
    "count",
    "find",
    "parse",
    "build",
    "check",
    "update",
    "remove",
    "split",
    "render",
]
LINES = (
    "    {a} = [{b} for {b} in {c} if {b}.{d} > {n}]",
    "    if {a} is None or len({c}) < {n}:",
    "        raise ValueError(f'{a} of {{{b}}} is missing')",
    "    for {b} in sorted({c}, key=lambda one: one.{d}):",
    "        {a} += {v}_{b}({b}, {n})",
    "    return {v}_{a}({c}, {d}={n})",
    "    # the {a} must be known before any {b} can {v} its {d}",
    "    {a}_{b} = {{'{c}': {n}, '{d}': {c}.{d}}}",
)


def chance(*seed: object) -> random.Random:
    """Numbers that look random and are the same for the same seed."""
    return random.Random("/".join(map(str, seed)))  # noqa: S311 - no secret depends on it


def code(rng: random.Random, n_chars: int) -> str:
    """Functions of a program that was never written, exactly so many characters."""
    lines: list[str] = []
    left = n_chars
    while left > 0:
        line = _head(rng) if not lines or rng.random() < 0.15 else _line(rng)
        lines.append(line)
        left -= len(line)
    return "".join(lines)[:n_chars]


def _head(rng: random.Random) -> str:
    one, other = rng.sample(NOUNS, 2)
    return f"\n\ndef {rng.choice(VERBS)}_{one}({one}, {other}, limit={rng.randrange(100)}):\n"


def _line(rng: random.Random) -> str:
    a, b, c, d = rng.sample(NOUNS, 4)
    names = {"a": a, "b": b, "c": f"{c}s", "d": d, "v": rng.choice(VERBS), "n": rng.randrange(1000)}
    return rng.choice(LINES).format(**names) + "\n"
