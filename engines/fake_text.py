"""How the fake engine reads and writes: a token for each word, and an answer that is known from the start."""

from __future__ import annotations

import re
import zlib

from engines.engine import Fim, Job, Plain, Prompt, StopType


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
        case Plain(text=text):
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
    if len(pieces) > job.tokens_max:
        pieces, stop = pieces[: job.tokens_max], StopType("limit")
    return pieces, stop
