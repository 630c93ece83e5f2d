"""A small decoder of the Qwen2 shape: RMSNorm, rotary positions, grouped queries with biases, SwiGLU, tied embeddings.

The shape is one that llama.cpp knows ("qwen2"), so that a checkpoint needs no code of its own to be served.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

POSITIONS_MAX = 4096
QUERY_BLOCK = 256


@dataclass(frozen=True)
class Shape:
    """The sizes of a model; the names are those of the checkpoints."""

    V: int = 4096  # vocabulary
    d: int = 256  # width
    L: int = 6  # layers
    h: int = 4  # query heads
    kv: int = 2  # key and value heads
    ff: int = 704  # width of the feed-forward part
    theta: float = 10_000.0
    eps: float = 1e-6

    @property
    def head_width(self) -> int:
        """The width of one head."""
        return self.d // self.h


class RmsNorm(nn.Module):
    """Scale each vector to unit mean square, then by learnt weights."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Scale."""
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


class Block(nn.Module):
    """One layer: attention, then the feed-forward part, each added to what came in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        heads = (shape.h + 2 * shape.kv) * shape.head_width
        self.n1 = RmsNorm(shape.d, shape.eps)
        self.n2 = RmsNorm(shape.d, shape.eps)
        self.qkv = nn.Linear(shape.d, heads, bias=True)
        self.o = nn.Linear(shape.h * shape.head_width, shape.d, bias=False)
        self.gu = nn.Linear(shape.d, 2 * shape.ff, bias=False)  # gate and up in one
        self.dn = nn.Linear(shape.ff, shape.d, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Attend, then think."""
        x = x + self.o(self._attend(self.n1(x), cos, sin))
        gate, up = self.gu(self.n2(x)).chunk(2, -1)
        return x + self.dn(F.silu(gate) * up)

    def _attend(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        n_rows, n_tokens, _ = x.shape
        width, h, kv = self.shape.head_width, self.shape.h, self.shape.kv
        q, k, v = self.qkv(x).split([h * width, kv * width, kv * width], -1)
        q = _rotate(q.view(n_rows, n_tokens, h, width).transpose(1, 2), cos, sin)
        k = _rotate(k.view(n_rows, n_tokens, kv, width).transpose(1, 2), cos, sin)
        v = v.view(n_rows, n_tokens, kv, width).transpose(1, 2)
        k, v = k.repeat_interleave(h // kv, 1), v.repeat_interleave(h // kv, 1)
        return _causal_attention(q, k, v).transpose(1, 2).reshape(n_rows, n_tokens, -1)


class Model(nn.Module):
    """Token ids in, logits of the next token out."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.emb = nn.Embedding(shape.V, shape.d)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.L))
        self.nf = RmsNorm(shape.d, shape.eps)
        for name, parameter in self.named_parameters():
            _initialise(name, parameter, shape)
        pairs = torch.arange(0, shape.head_width, 2).float() / shape.head_width
        angles = torch.outer(torch.arange(POSITIONS_MAX).float(), shape.theta**-pairs)
        self.register_buffer("cos", torch.cat((angles.cos(),) * 2, -1), persistent=False)
        self.register_buffer("sin", torch.cat((angles.sin(),) * 2, -1), persistent=False)

    def forward(self, ids: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the logits after each token."""
        n_tokens = ids.shape[1]
        x = self.emb(ids).to(dtype)
        cos, sin = self.cos[:n_tokens].to(dtype), self.sin[:n_tokens].to(dtype)
        for block in self.blk:
            x = block(x, cos, sin)
        return F.linear(self.nf(x), self.emb.weight)


def load(path: Path) -> tuple[Model, dict[str, Any]]:
    """Read a checkpoint; return the model and everything else that was saved with it."""
    saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    model = Model(Shape(**saved["cfg"]))
    model.load_state_dict(saved["model"])
    return model, saved


def save(path: Path, model: Model, **rest: object) -> None:
    """Write a checkpoint that `load` reads; whole or not at all."""
    unfinished = path.with_suffix(".part")
    torch.save({"cfg": asdict(model.shape), "model": model.state_dict(), **rest}, unfinished)
    unfinished.replace(path)


def _initialise(name: str, parameter: nn.Parameter, shape: Shape) -> None:
    if name.endswith("bias"):
        nn.init.zeros_(parameter)
    elif parameter.dim() == 2:
        writes_out = name.endswith(("o.weight", "dn.weight"))
        scale = 1 / math.sqrt(2 * shape.L) if writes_out else 0.7
        std = 0.02 if "emb" in name else scale / math.sqrt(parameter.shape[1])
        nn.init.normal_(parameter, 0, std)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


def _causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend block by block of queries, each to the keys up to its end.

    On a CPU with bf16 matrix products this takes a tenth off a training step with torch's own kernel.
    """
    n_tokens = q.shape[2]
    q = q / math.sqrt(q.shape[-1])
    future = torch.full((QUERY_BLOCK, QUERY_BLOCK), -math.inf).triu(1)
    rows = []
    for start in range(0, n_tokens, QUERY_BLOCK):
        end = min(n_tokens, start + QUERY_BLOCK)
        n = end - start
        scores = torch.matmul(q[:, :, start:end], k[:, :, :end].transpose(-1, -2)).float()
        scores = torch.cat((scores[..., :start], scores[..., start:] + future[:n, :n]), -1)
        rows.append(torch.matmul(scores.softmax(-1).to(v.dtype), v[:, :, :end]))
    return torch.cat(rows, 2)
