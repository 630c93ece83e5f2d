"""Where an `/infill` was asked for, though its client names no document; and what a raw prompt is for.

    document   the client, and the text below the cursor's line; at the end of a file, where there is none, its
               first line
    line       how many lines are above, which is what moves when the user types on

The hash is salted with a secret of this process: it cannot be looked up.
"""

from __future__ import annotations

from hashlib import blake2b

from policies.request import Place

FIM_MARKS = (
    "<|fim_middle|>",
    "<fim_middle>",
    "<fim-middle>",
    "<\uff5cfim\u2581end\uff5c>",
    "<|code_middle|>",
    "<|fim_suffix|>",
    "<fim_suffix>",
    "<MID>",
    "[SUFFIX]",
)
"""Tokens by which editors lay out the middle themselves: their raw prompts are keystrokes, not essays."""


def place_of(client: str, prefix: str, suffix: str, *, salt: bytes) -> Place:
    """The place between those two texts."""
    below = suffix.partition("\n")[2]
    anchor = below if below.strip() else prefix.partition("\n")[0]
    digest = blake2b(key=salt, digest_size=16)
    digest.update(client.encode())
    digest.update(b"\0")
    digest.update(anchor.encode())
    return Place(document=digest.hexdigest(), line=prefix.count("\n"))


def is_fim_layout(prompt: str) -> bool:
    """Whether a raw prompt asks for a middle."""
    return any(mark in prompt for mark in FIM_MARKS)
