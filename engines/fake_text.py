"""How the fake engine reads and writes: a token for each word, an answer that is known from the start.

What it parks is the tokens alone, in its own format.
"""

from __future__ import annotations

import os
import re
import zlib
from array import array

from engines.engine import Embed, Fim, Job, Parked, Plain, Prompt, StopType
from engines.shelf import Shelf


def tokenise(text: str) -> tuple[int, ...]:
    """A token for each word with the white space before it."""
    return tuple(map(number, re.findall(r"\s*\S+|\s+", text)))


def number(piece: str) -> int:
    """The token of a word: the same in every worker."""
    return zlib.crc32(piece.encode())


def common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many tokens they begin with in common."""
    limit = min(len(one), len(other))
    return next((n for n in range(limit) if one[n] != other[n]), limit)


def text_of(prompt: Prompt) -> str:
    """All that a prompt says; the text before the cursor last, so that typing only makes it longer."""
    match prompt:
        case Plain(text=text) | Embed(text=text):
            return text
        case Fim(prefix=prefix, suffix=suffix, chunks=chunks):
            return "\n".join([*(chunk.text for chunk in chunks), suffix, prefix])
        case _:
            return "\n".join(f"{turn.role}: {turn.content}" for turn in prompt.messages)


def answer(job: Job, text: str) -> tuple[tuple[str, ...], StopType]:
    """What the job will be given, cut at its first stop string or its limit, and why it ends there."""
    stop = StopType("eos")
    cuts = [(text.find(word), word) for word in job.stops if word and word in text]
    if cuts:
        end, word = min(cuts)
        text, stop = text[:end], StopType("word", word)
    if isinstance(job.prompt, Fim) and job.prompt.single_line and "\n" in text:
        text, stop = text[: text.index("\n")], StopType("eos")
    pieces = tuple(re.findall(r"\s*\S+|\s+", text))
    if len(pieces) >= job.tokens_max:
        pieces, stop = pieces[: job.tokens_max], StopType("limit")
    return pieces, stop


def save(shelf: Shelf | None, tokens: tuple[int, ...]) -> Parked | None:
    """Park tokens; None without a shelf, or where there is nothing to park or no room."""
    if shelf is None or not tokens:
        return None
    handle, fd = shelf.blank()
    os.pwrite(fd, array("Q", tokens).tobytes(), 0)
    size_bytes = shelf.keep(handle)
    return None if size_bytes is None else Parked(handle, len(tokens), size_bytes)


def take_saved(shelf: Shelf | None, handle: int | None) -> tuple[int, ...]:
    """Use up what was parked; nothing where it is no longer kept."""
    if shelf is None or handle is None or (fd := shelf.find(handle)) is None:
        return ()
    saved = array("Q", os.pread(fd, os.fstat(fd).st_size, 0))
    shelf.drop(handle)
    return tuple(saved)
