"""Frozen pictures that leaf policies choose from: what is known of a model before and after it is resident."""

from __future__ import annotations

from dataclasses import dataclass

from policies.request import Kind


@dataclass(frozen=True, slots=True)
class ModelView:
    """One configured model. `languages` empty means every language; `kinds` are the kinds it may serve."""

    name: str
    kinds: frozenset[Kind]
    languages: frozenset[str]
    need_bytes: int
    sequences: int
    pinned: bool = False
