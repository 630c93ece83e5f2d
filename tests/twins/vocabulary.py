"""A synthetic vocabulary: of the size of a published one, and good enough to cut code into words.

Byte-level BPE as GPT-2 has it. First the 256 bytes; then one token for each merge, learnt from
sources of the standard library. The rest are fillers that no text meets, and the special
tokens stand at the ids of Qwen2.5-Coder, or at the end of a vocabulary that is too small for those.
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

END, IM_END = "<|endoftext|>", "<|im_end|>"
SPECIAL = {
    END: 151643,
    "<|im_start|>": 151644,
    IM_END: 151645,
    "<|fim_prefix|>": 151659,
    "<|fim_middle|>": 151660,
    "<|fim_suffix|>": 151661,
    "<|fim_pad|>": 151662,
    "<|repo_name|>": 151663,
    "<|file_sep|>": 151664,
}
"""Where Qwen2.5-Coder has them. A vocabulary too small for that has them at its end."""

BYTES = 256
MERGES = 3_000
"""As many as are learnt at most."""
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
    """Make a vocabulary of exactly so many tokens; it needs room for the bytes and the special ones."""
    special = SPECIAL
    if size <= max(SPECIAL.values()):
        special = dict(zip(SPECIAL, range(size - len(SPECIAL), size), strict=True))
    pieces, merges = _merged(min(MERGES, size - BYTES - len(SPECIAL)))
    tokens = [*pieces, *(f"[PAD{n}]" for n in range(len(pieces), size))]
    kinds = [NORMAL] * len(pieces) + [UNUSED] * (size - len(pieces))
    for text, number in special.items():
        tokens[number], kinds[number] = text, CONTROL
    return Vocabulary(tokens, kinds, merges)


def byte_letters() -> list[str]:
    """Return GPT-2's letter for each byte: itself where it can be seen, else one from behind Latin-1."""
    seen = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(256, 512))
    return [chr(byte) if byte in seen else chr(next(hidden)) for byte in range(256)]


@cache
def _merged(merges_max: int) -> tuple[list[str], list[str]]:
    """Return the tokens that can be met, and the merges that make them."""
    letters = byte_letters()
    texts = (Path(str(module.__file__)).read_text(encoding="utf-8") for module in LEARNT_FROM)
    counts = Counter(word for text in texts for word in _WORD.findall(text))
    cut = [[letters[byte] for byte in word.encode()] for word in counts]
    merges = _learnt(cut, list(counts.values()), merges_max)
    tokens = dict.fromkeys([*letters, *("".join(pair) for pair in merges)])
    return list(tokens), [" ".join(pair) for pair in merges]


def _learnt(words: list[list[str]], weights: list[int], merges_max: int) -> list[Pair]:
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
    while len(merges) < merges_max:
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
