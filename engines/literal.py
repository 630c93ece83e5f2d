"""What a document says is text, whatever it looks like: no token of a prompt's layout may come out of it.

llama.cpp leaves control tokens alone in a text, but not those that a file declares as the user's own: these it
finds in any text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import chain, pairwise


class Literal:
    """Tokenises texts so that none of some tokens comes out. `special` has their numbers and how they are written."""

    def __init__(self, tokenize: Callable[[str], list[int]], special: Mapping[int, str]) -> None:
        self._tokenize = tokenize
        self._special = frozenset(special)
        written = sorted(filter(None, special.values()), key=len, reverse=True)
        self._written = re.compile("|".join(map(re.escape, written)))

    def tokens(self, text: str) -> list[int]:
        """Tokenise a text; a special token written in it is taken apart behind its first character."""
        tokens = self._tokenize(text)
        if self._special.isdisjoint(tokens):
            return tokens
        cuts = [0, *(found.start() + 1 for found in self._written.finditer(text)), len(text)]
        return list(chain.from_iterable(self._tokenize(text[a:b]) for a, b in pairwise(cuts)))

    def whole_lines(self, heading: str, text: str, tokens_max: int) -> list[int]:
        """Tokenise as many of the first lines as fit under their heading; nothing where none does."""
        text = heading + text
        while len(tokens := self.tokens(text)) > tokens_max:
            text = first_lines(text, len(text) * tokens_max // len(tokens))
        return tokens if len(text) > len(heading) else []


def first_lines(text: str, chars_max: int) -> str:
    """As many of the first lines as fit; all of a text that does."""
    if len(text) <= chars_max:
        return text
    return text[: text.rfind("\n", 0, max(chars_max, 0)) + 1]
