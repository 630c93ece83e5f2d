"""A synthetic vocabulary: of the size of a published one, and good enough to cut code into words.

Byte-level BPE as GPT-2 has it. First the 256 bytes; then one token for each merge, learnt from
sources of the standard library. The rest are fillers that no text meets, and the special
tokens stand at the ids of Qwen2.5-Coder.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import subprocess
import typing
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

Pair: TypeAlias = tuple[str, str]

NORMAL, CONTROL, UNUSED = 1, 3, 5

SPECIAL = {
    151643: "<|endoftext|>",
    151644: "<|im_start|>",
    151645: "<|im_end|>",
    151659: "<|fim_prefix|>",
    151660: "<|fim_middle|>",
    151661: "<|fim_suffix|>",
    151662: "<|fim_pad|>",
    151663: "<|repo_name|>",
    151664: "<|file_sep|>",
}
END = 151643
IM_END = 151645

MERGES = 3_000
LEARNT_FROM = (argparse, pathlib, subprocess, typing)
"""Modules whose source everybody has: English words in the docstrings, Python in the rest."""
_WORD = re.compile(
    r"[^\r\nA-Za-z0-9]?[A-Za-z]+|\d| ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id, their kinds, and the merges that make them."""

    tokens: list[str]
    kinds: list[int]
    merges: list[str]


def make_vocabulary(size: int) -> Vocabulary:
    """Make a vocabulary of exactly so many tokens; it needs room for the special ones."""
    pieces, merges = _merged()
    tokens = [*pieces, *(f"[PAD{n}]" for n in range(len(pieces), size))]
    kinds = [NORMAL] * len(pieces) + [UNUSED] * (size - len(pieces))
    for number, text in SPECIAL.items():
        tokens[number], kinds[number] = text, CONTROL
    return Vocabulary(tokens, kinds, merges)


def byte_letters() -> list[str]:
    """Return GPT-2's letter for each byte: itself where it can be seen, else one from behind Latin-1."""
    seen = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(256, 512))
    return [chr(byte) if byte in seen else chr(next(hidden)) for byte in range(256)]


@cache
def _merged() -> tuple[list[str], list[str]]:
    """Return the tokens that can be met, and the merges that make them."""
    letters = byte_letters()
    texts = (Path(str(module.__file__)).read_text(encoding="utf-8") for module in LEARNT_FROM)
    counts = Counter(word for text in texts for word in _WORD.findall(text))
    cut = [[letters[byte] for byte in word.encode()] for word in counts]
    merges = _learnt(cut, list(counts.values()))
    tokens = dict.fromkeys([*letters, *("".join(pair) for pair in merges)])
    return list(tokens), [" ".join(pair) for pair in merges]


def _learnt(words: list[list[str]], weights: list[int]) -> list[Pair]:
    """Merge the most frequent pair, again and again; of equals the first in the alphabet."""
    counts: dict[Pair, int] = defaultdict(int)
    holders: defaultdict[Pair, dict[int, None]] = defaultdict(dict)

    def count(number: int, sign: int) -> None:
        for pair in pairwise(words[number]):
            counts[pair] += sign * weights[number]
            holders[pair][number] = None
            if not counts[pair]:
                del counts[pair]

    for number in range(len(words)):
        count(number, 1)
    merges: list[Pair] = []
    while len(merges) < MERGES:
        most = max(counts.values())
        best = min(pair for pair, times in counts.items() if times == most)
        merges.append(best)
        for number in holders.pop(best):
            count(number, -1)
            words[number] = _joined(words[number], best)
            count(number, 1)
    return merges


def _joined(word: list[str], pair: Pair) -> list[str]:
    out: list[str] = []
    for part in word:
        if out and (out[-1], part) == pair:
            out[-1] += part
        else:
            out.append(part)
    return out
