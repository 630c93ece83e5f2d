"""What goes into the next llama.cpp batch. It sees urgency and slack as numbers, not classes.

1. Nothing shares a step with a sequence that must run alone (it may be the one that kills the worker).
2. Every sequence that decodes goes on by its one token: a stream never waits for somebody's prompt.
3. What is left of the budget goes to prompts, the most urgent first; ties by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One running sequence: how many tokens wait to be evaluated, and whether they are a prompt's."""

    id: int
    waiting_tokens: int
    prefilling: bool
    urgency: float = 0.0
    slack_s: float = 0.0
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """How many of its waiting tokens a sequence evaluates in this step."""

    id: int
    tokens: int


def plan(rows: Sequence[Row], *, budget_tokens: int) -> list[Share]:
    """Choose the shares of one step; their sum is at most the budget."""
    lonely = [row for row in rows if row.alone]
    rows = lonely[:1] or rows  # 1
    shares = [Share(row.id, 1) for row in rows if not row.prefilling][:budget_tokens]  # 2
    left = budget_tokens - len(shares)
    prompts = sorted(
        (row for row in rows if row.prefilling), key=lambda row: (-row.urgency, row.id)
    )
    for row in prompts:  # 3
        if left <= 0:
            break
        shares.append(Share(row.id, min(row.waiting_tokens, left)))
        left -= shares[-1].tokens
    return shares
