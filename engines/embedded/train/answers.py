"""The model's greedy answer at each item, as the daemon would ask for it. Run from the repository's root."""

from pathlib import Path

import numpy as np
from items import Item

from engines import llama
from engines.embedded.gate import Drafted

PREFIX_TOKENS = 330
SUFFIX_TOKENS = 110
ANSWER_TOKENS = 48
CHARS_PER_TOKEN_MAX = 6


class Answerer:
    """One model, one sequence, one line at a time."""

    def __init__(
        self, path: Path, *, prefix_tokens: int = PREFIX_TOKENS, suffix_tokens: int = SUFFIX_TOKENS
    ) -> None:
        self._prefix_tokens, self._suffix_tokens = prefix_tokens, suffix_tokens
        cells = prefix_tokens + suffix_tokens + ANSWER_TOKENS + 8
        llama.start()
        self._model = llama.Model(str(path), gpu_layers=0, extra_buffers=False)
        self._context = llama.Context(
            self._model,
            cells=cells,
            batch=cells,
            sub_batch=cells,
            sequences=1,
            kv_type="f16",
            threads=1,
        )

    def answer(self, item: Item) -> Drafted:
        """Return the rest of the line."""
        healed = item.prefix.rstrip(" ") or item.prefix
        dropped = item.prefix[len(healed) :]
        pieces, logprobs = self._draw(self._prompt(healed, item.suffix))
        text = b"".join(pieces).decode("utf-8", "replace").partition("\n")[0]
        text = text[len(dropped) :] if text.startswith(dropped) else text.lstrip(" ")
        return Drafted(text.rstrip(), sum(logprobs), float(np.mean(logprobs)), len(logprobs))

    def _prompt(self, prefix: str, suffix: str) -> list[int]:
        fim, tokenize = self._model.fim, self._model.tokenize
        before = tokenize(prefix[-CHARS_PER_TOKEN_MAX * self._prefix_tokens :])
        after = tokenize(suffix[: CHARS_PER_TOKEN_MAX * self._suffix_tokens])
        return [
            fim.prefix,
            fim.suffix,
            *after[: self._suffix_tokens],
            fim.middle,
            *before[-self._prefix_tokens :],
        ]

    def _draw(self, prompt: list[int]) -> tuple[list[bytes], list[float]]:
        """Draw tokens up to the end of the line; the token that ends it counts."""
        self._context.remove(0, 0)
        pieces: list[bytes] = []
        logprobs: list[float] = []
        tokens, position = prompt, 0
        while len(pieces) < ANSWER_TOKENS:
            logits = self._step(tokens, position)
            position += len(tokens)
            best = int(logits.argmax())
            shifted = logits - logits.max()
            logprobs.append(float(shifted[best] - np.log(np.exp(shifted).sum())))
            if best in self._model.end_tokens:
                break
            pieces.append(self._model.piece(best))
            if b"\n" in pieces[-1]:
                break
            tokens = [best]
        return pieces, logprobs

    def _step(self, tokens: list[int], position: int) -> np.ndarray:
        feed = llama.Feed(0, position, tokens, wants_logits=True)
        if self._context.decode([feed]) != llama.DECODED:
            raise RuntimeError("llama.cpp refused a batch")
        return self._context.logits(0)
