"""What can be made: shapes of published CodeLLMs, and tiny models of every kind of memory that llama.cpp has."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Pooling(IntEnum):
    """How an embedding model makes one vector of a text; numbers as llama.cpp has them."""

    MEAN = 1
    CLS = 2
    LAST = 3


@dataclass(frozen=True, slots=True)
class Shape:
    """What a published configuration says; `window_tokens` is 0 where all attention is full."""

    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    tied: bool = True
    vocabulary: int = 151_936
    architecture: str = "qwen2"
    window_tokens: int = 0
    pooling: Pooling | None = None


def _tiny(architecture: str, *, window_tokens: int = 0, pooling: Pooling | None = None) -> Shape:
    """Return a shape that is made in a moment. Heads of 64, because kernels for devices know no smaller ones."""
    return Shape(
        layers=4,
        width=128,
        hidden=256,
        heads=2,
        kv_heads=1,
        tied=architecture in {"cohere2", "gemma2"},  # which know no other
        vocabulary=1024,
        architecture=architecture,
        window_tokens=window_tokens,
        pooling=pooling,
    )


SHAPES = {
    "tiny": _tiny("qwen2"),
    # Every other layer sees the window, the others see all.
    "tiny-window": _tiny("gemma2", window_tokens=64),
    # Three layers see the window; the fourth sees all and knows no positions.
    "tiny-window-nope": _tiny("cohere2", window_tokens=64),
    # Two layers of convolution, two of attention.
    "tiny-hybrid": _tiny("lfm2"),
    # No attention at all.
    "tiny-recurrent": _tiny("mamba"),
    "tiny-embedding": _tiny("qwen2", pooling=Pooling.LAST),
    "tiny-embedding-mean": _tiny("qwen2", pooling=Pooling.MEAN),
    # It sees the whole text at once and keeps no cache.
    "tiny-encoder": _tiny("bert", pooling=Pooling.CLS),
    "tiny-encoder-mean": _tiny("bert", pooling=Pooling.MEAN),
    # Small, with the vocabulary of a published model.
    "tiny-15m": Shape(6, 256, 768, 4, 2),
    "qwen2.5-coder-0.5b": Shape(24, 896, 4864, 14, 2),
    "qwen2.5-coder-1.5b": Shape(28, 1536, 8960, 12, 2),
    "qwen2.5-coder-3b": Shape(36, 2048, 11008, 16, 2),
    "qwen2.5-coder-7b": Shape(28, 3584, 18944, 28, 4, tied=False, vocabulary=152_064),
}
