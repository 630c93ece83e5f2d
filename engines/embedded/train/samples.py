"""Rows of tokens to train on, and how much each token counts.

Most of a row is documents of the form  <|fim_prefix|><|fim_suffix|>AFTER<|fim_middle|>BEFORE MIDDLE<|endoftext|> ,
the middle glued to the text before it ("spm-glued"); the rest is plain text.
"""

import builtins
import json
import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from cuts import LAST_STRETCH, LONG_RUN, Mix, cut
from tokenizers import Tokenizer

NAME = re.compile(r"(?<![\w'\"])[A-Za-z_]\w{2,}\b")
FIXED_NAMES = {
    *keyword.kwlist,
    *keyword.softkwlist,
    *dir(builtins),
    "self",
    "cls",
    "args",
    "kwargs",
}
GROUP_WEIGHT = {"stdlib": 2.0, "package": 1.0, "stdlib-test": 0.5, "package-test": 0.35}
CHARS_PER_TOKEN = 3.35
N_SPECIAL = 7


@dataclass(frozen=True)
class Recipe:
    """What a stretch of training sees, and what it is told to care about."""

    mix: Mix
    plain_share: float = 0.12
    renamed_share: float = 0.25  # windows in which some names are exchanged: teaches copying
    whole_prefix_share: float = 0.6  # documents whose prefix starts where the window does
    long_window_share: float = 0.5
    suffix_weight: float = 0.5
    middle_weight: float = 3.0
    end_weight: float = 3.0
    repeat_weight: float = 1.5  # of a token whose two forerunners stood together before


RECIPES = {
    "long-run": Recipe(LONG_RUN),
    "last-stretch": Recipe(
        LAST_STRETCH,
        plain_share=0.05,
        renamed_share=0.15,
        whole_prefix_share=0.85,
        long_window_share=0.8,
        middle_weight=5.0,
        end_weight=8.0,
    ),
}


@dataclass(frozen=True)
class Document:
    """One file of the corpus."""

    text: str
    group: str


def read_corpus(path: Path, split: str) -> list[Document]:
    """Read the documents of one split ("train" or "held") of a corpus.jsonl."""
    with path.open(encoding="utf-8") as lines:
        records = (json.loads(line) for line in lines)
        return [Document(r["text"], r["group"]) for r in records if r["split"] == split]


class Sampler:
    """Draws rows for ever; the same seed draws the same rows."""

    def __init__(
        self,
        documents: list[Document],
        tokenizer: Tokenizer,
        n_tokens: int,
        recipe: Recipe,
        seed: int,
    ) -> None:
        self._random = Random(seed)
        self._tokenizer = tokenizer
        self._n_tokens = n_tokens
        self._recipe = recipe
        self._texts = [document.text.rstrip() + "\n" for document in documents]
        sizes = [len(d.text) * GROUP_WEIGHT[d.group] for d in documents]
        self._cumulated = list(np.cumsum(sizes))
        self._names = self._pool_of_names()
        self._end, self._prefix, self._middle, self._suffix = (
            tokenizer.token_to_id(f"<|{name}|>")
            for name in ("endoftext", "fim_prefix", "fim_middle", "fim_suffix")
        )
        pieces = [tokenizer.id_to_token(i) or "" for i in range(tokenizer.get_vocab_size())]
        self._is_word = np.array(
            [i >= N_SPECIAL and bool(re.search("[A-Za-z_]", p)) for i, p in enumerate(pieces)]
        )
        self._middles: list[tuple[list[int], list[float]]] = []
        self._plain: list[tuple[list[int], list[float]]] = []

    def batch(self, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return token ids and weights, `n_rows` rows of one token more than the context."""
        rows = [self._row() for _ in range(n_rows)]
        ids = np.array([ids for ids, _ in rows], np.int64)
        weights = np.array([weights for _, weights in rows], np.float32)
        for row, row_weights in zip(ids, weights, strict=True):
            self._favour_repeats(row, row_weights)
        return ids, weights

    def _favour_repeats(self, ids: np.ndarray, weights: np.ndarray) -> None:
        pairs = ids[:-1] * 65_536 + ids[1:]
        _, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
        repeated = (first[inverse] < np.arange(len(pairs))) & self._is_word[ids[1:]]
        weights[2:][repeated[:-1]] *= self._recipe.repeat_weight

    def _row(self) -> tuple[list[int], list[float]]:
        n_wanted = self._n_tokens + 1
        only_plain = self._random.random() < self._recipe.plain_share / 2
        ids: list[int] = []
        weights: list[float] = []
        while len(ids) < n_wanted:
            while len(self._middles) < 40 or len(self._plain) < 2:
                self._refill()
            more_ids, more_weights = self._next(n_wanted - len(ids), only_plain=only_plain)
            ids += more_ids
            weights += more_weights
        return ids[:n_wanted], weights[:n_wanted]

    def _next(self, room: int, *, only_plain: bool) -> tuple[list[int], list[float]]:
        for index, (ids, _) in enumerate(self._middles[:24]):
            if not only_plain and len(ids) <= room:
                return self._middles.pop(index)
        return self._plain.pop(0)

    def _refill(self) -> None:
        """Cut some dozens of windows into documents, in one call of the tokenizer."""
        cuts = []
        for n in range(96):
            text, reaches_end = self._window()
            place = cut(text, self._recipe.mix, self._random) if text.count("\n") > 1 else None
            if n == 0 or place is None or self._random.random() < self._recipe.plain_share:
                cuts.append(((text,), reaches_end))
            else:
                cuts.append((self._around(text, *place), reaches_end))
        flat = [part for parts, _ in cuts for part in parts]
        encoded = iter(self._tokenizer.encode_batch(flat, add_special_tokens=False))
        for parts, reaches_end in cuts:
            ids = [next(encoded).ids for _ in parts]
            if len(parts) == 1:
                whole = ids[0] + [self._end] * reaches_end
                self._plain.append((whole, [1.0] * len(whole)))
            else:
                self._add_middle(*ids)

    def _add_middle(self, before: list[int], after: list[int], middle: list[int]) -> None:
        ids = [self._prefix, self._suffix, *after, self._middle, *before, *middle, self._end]
        recipe = self._recipe
        weights = [0.0, 0.0] + [recipe.suffix_weight] * len(after) + [0.0] + [1.0] * len(before)
        weights += [recipe.middle_weight] * len(middle) + [recipe.end_weight]
        if len(ids) <= self._n_tokens + 1:
            self._middles.append((ids, weights))

    def _around(self, text: str, begin: int, end: int) -> tuple[str, str, str]:
        """Return what comes before and after the middle, each cut to a length that editors send."""
        random = self._random
        shown = 0 if random.random() < 0.1 else int(2 ** random.uniform(4, 9))
        last = min(len(text), end + shown)
        if last < len(text) and random.random() < 0.8:
            last = max(end, text.rfind("\n", end, last) + 1)
        first = 0
        if random.random() >= self._recipe.whole_prefix_share:
            first = max(0, begin - int(2 ** random.uniform(4, 10)))
            newline = text.find("\n", first, begin)
            first = newline + 1 if first and newline >= 0 else first
        return text[first:begin], text[end:last], text[begin:end]

    def _window(self) -> tuple[str, bool]:
        """Return whole lines of some file, and whether they reach its end."""
        random, recipe = self._random, self._recipe
        n_chars = int(random.uniform(900, 2100))
        if random.random() < recipe.long_window_share:
            n_chars = int(random.uniform(0.6, 0.95) * self._n_tokens * CHARS_PER_TOKEN)
        text = random.choices(self._texts, cum_weights=self._cumulated)[0]
        first = max(0, random.randrange(-n_chars // 2, max(1, len(text) - n_chars // 3)))
        first = text.rfind("\n", 0, first) + 1
        last = len(text)
        if first + n_chars < last:
            last = text.rfind("\n", first, first + n_chars) + 1 or first + n_chars
        window = text[first:last]
        if random.random() < recipe.renamed_share:
            window = self._renamed(window)
        return window, last == len(text)

    def _renamed(self, text: str) -> str:
        random = self._random
        names = sorted({*NAME.findall(text)} - FIXED_NAMES)
        chosen = random.sample(names, min(len(names), random.randint(1, 8)))
        new = {n: random.choice(self._names[_style(n)]) for n in chosen if _style(n) in self._names}
        return NAME.sub(lambda match: new.get(match.group(), match.group()), text)

    def _pool_of_names(self) -> dict[str, list[str]]:
        pool: dict[str, list[str]] = {}
        for text in self._random.sample(self._texts, min(800, len(self._texts))):
            for name in sorted({*NAME.findall(text)} - FIXED_NAMES):
                pool.setdefault(_style(name), []).append(name)
        return pool


def _style(name: str) -> str:
    if name.isupper():
        return "upper"
    if name[0].isupper():
        return "capitalised"
    return "private" if name[0] == "_" else "lower"
