"""What each architecture calls its keys and its tensors, and the random numbers that go into them.

Names and dimensions are those that llama.cpp asks for when it loads a file (`src/models/`). Every matrix keeps the
size of what goes through it, and the last norm sharpens the logits: the text is noise, but it wanders, depends on all
that a layer can see, and the best token is mostly ahead of the next by more than rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter

from tests.twins.shapes import Shape

Array: TypeAlias = npt.NDArray[np.float16] | npt.NDArray[np.float32]
Named: TypeAlias = Iterator[tuple[str, Array]]

SHARPNESS = 4.0
"""Standard deviation of the logits."""
ATTENTION = 3.0
"""Standard deviation of the attention scores: a token sees a few others clearly, not all of them alike."""
CONVOLUTION_TOKENS = 3
STATE, STEP_RANK, KERNEL = 16, 32, 4
"""Of a state space model: numbers kept for each channel, rank of its time step, tokens of its convolution."""


class Noise:
    """Random tensors. Matrices are half precision, whatever has one dimension is single."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def single(self, rows: int, columns: int) -> npt.NDArray[np.float32]:
        """Return a matrix that keeps the size of a vector."""
        scale = np.float32(columns**-0.5)
        return self._rng.standard_normal((rows, columns), dtype=np.float32) * scale

    def matrix(self, rows: int, columns: int, *, gain: float = 1.0) -> npt.NDArray[np.float16]:
        """Return one in half precision that makes a vector larger by `gain`."""
        return (self.single(rows, columns) * np.float32(gain)).astype(np.float16)


def add_keys(writer: GGUFWriter, shape: Shape) -> None:
    """Write what the architecture must be told beyond layers and width."""
    writer.add_feed_forward_length(0 if shape.architecture == "mamba" else shape.hidden)
    writer.add_head_count(0 if shape.architecture == "mamba" else shape.heads)
    writer.add_head_count_kv(_kv_heads(shape))
    if shape.architecture in {"bert", "cohere2"}:
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_layer_norm_rms_eps(1e-6)
    if shape.pooling is not None:
        writer.add_pooling_type(shape.pooling)
    _KEYS[shape.architecture](writer, shape)


def tensors(shape: Shape, *, context: int, seed: int) -> Named:
    """Yield every tensor with its name. The same seed gives the same numbers."""
    noise = Noise(seed)
    yield "token_embd.weight", noise.matrix(shape.vocabulary, shape.width)
    if shape.architecture == "bert":
        yield "position_embd.weight", noise.single(context, shape.width)
        yield from _norm("token_embd_norm", shape.width)
    else:
        norm = "token_embd_norm" if shape.architecture == "lfm2" else "output_norm"
        yield norm + ".weight", np.full(shape.width, SHARPNESS, dtype=np.float32)
        if not shape.tied:
            yield "output.weight", noise.matrix(shape.vocabulary, shape.width)
    for layer in range(shape.layers):
        for name, array in _BLOCKS[shape.architecture](shape, noise, layer):
            yield f"blk.{layer}.{name}", array


def _kv_heads(shape: Shape) -> int | list[int]:
    """A hybrid says so by its layers without heads: here every other one."""
    if shape.architecture == "lfm2":
        return [shape.kv_heads * (layer % 2) for layer in range(shape.layers)]
    return 0 if shape.architecture == "mamba" else shape.kv_heads


def _qwen2_keys(writer: GGUFWriter, _shape: Shape) -> None:
    writer.add_rope_freq_base(1_000_000.0)


def _cohere2_keys(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_logit_scale(1.0)
    writer.add_sliding_window(shape.window_tokens)


def _gemma2_keys(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_sliding_window(shape.window_tokens)


def _lfm2_keys(writer: GGUFWriter, _shape: Shape) -> None:
    writer.add_shortconv_l_cache(CONVOLUTION_TOKENS)


def _mamba_keys(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_ssm_conv_kernel(KERNEL)
    writer.add_ssm_inner_size(2 * shape.width)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(STEP_RANK)


def _bert_keys(writer: GGUFWriter, _shape: Shape) -> None:
    writer.add_causal_attention(value=False)
    writer.add_token_type_count(1)


def _qwen2_block(shape: Shape, noise: Noise, _layer: int) -> Named:
    yield from _norms(shape, "attn_norm", "ffn_norm")
    yield from _attention(shape, noise)
    kv = shape.kv_heads * (shape.width // shape.heads)
    for name, rows in (("q", shape.width), ("k", kv), ("v", kv)):
        yield f"attn_{name}.bias", np.zeros(rows, dtype=np.float32)
    yield from _feed_forward(shape, noise)


def _cohere2_block(shape: Shape, noise: Noise, _layer: int) -> Named:
    yield from _norms(shape, "attn_norm")
    yield from _attention(shape, noise)
    yield from _feed_forward(shape, noise)


def _gemma2_block(shape: Shape, noise: Noise, _layer: int) -> Named:
    yield from _norms(shape, "attn_norm", "ffn_norm")
    # Embeddings are large here, and tied: what the layers add must be larger, or each token calls for itself.
    for name in ("post_attention_norm", "post_ffw_norm"):
        yield name + ".weight", np.full(shape.width, 3.0, dtype=np.float32)
    yield from _attention(shape, noise)
    yield from _feed_forward(shape, noise)


def _lfm2_block(shape: Shape, noise: Noise, layer: int) -> Named:
    width = shape.width
    yield from _norms(shape, "attn_norm", "ffn_norm")
    if layer % 2:
        head = width // shape.heads
        yield from _attention(shape, noise)
        yield "attn_q_norm.weight", np.full(head, ATTENTION, dtype=np.float32)
        yield "attn_k_norm.weight", np.ones(head, dtype=np.float32)
    else:
        yield "shortconv.conv.weight", noise.single(width, CONVOLUTION_TOKENS)
        yield "shortconv.in_proj.weight", noise.matrix(3 * width, width)
        yield "shortconv.out_proj.weight", noise.matrix(width, width)
    yield from _feed_forward(shape, noise)


def _mamba_block(shape: Shape, noise: Noise, _layer: int) -> Named:
    inner = 2 * shape.width
    yield from _norms(shape, "attn_norm")
    yield "ssm_in.weight", noise.matrix(2 * inner, shape.width)
    yield "ssm_conv1d.weight", noise.single(inner, KERNEL)
    yield "ssm_conv1d.bias", np.zeros(inner, dtype=np.float32)
    yield "ssm_x.weight", noise.matrix(STEP_RANK + 2 * STATE, inner)
    yield "ssm_dt.weight", noise.matrix(inner, STEP_RANK)
    # Slow steps and rates of 1 to 16: what the state keeps fades over dozens of tokens, not at once.
    yield "ssm_dt.bias", np.full(inner, -3.0, dtype=np.float32)
    yield "ssm_a", np.tile(-np.arange(1, STATE + 1, dtype=np.float32), (inner, 1))
    yield "ssm_d", np.ones(inner, dtype=np.float32)
    yield "ssm_out.weight", noise.matrix(shape.width, inner)


def _bert_block(shape: Shape, noise: Noise, _layer: int) -> Named:
    yield from _attention(shape, noise)
    yield from _norm("attn_output_norm", shape.width)
    yield "ffn_up.weight", noise.matrix(shape.hidden, shape.width)
    yield "ffn_down.weight", noise.matrix(shape.width, shape.hidden)
    yield from _norm("layer_output_norm", shape.width)


def _norms(shape: Shape, *names: str) -> Named:
    for name in names:
        yield name + ".weight", np.ones(shape.width, dtype=np.float32)


def _norm(name: str, width: int) -> Named:
    yield name + ".weight", np.ones(width, dtype=np.float32)
    yield name + ".bias", np.zeros(width, dtype=np.float32)


def _attention(shape: Shape, noise: Noise) -> Named:
    kv = shape.kv_heads * (shape.width // shape.heads)
    yield "attn_q.weight", noise.matrix(shape.width, shape.width, gain=ATTENTION)
    for name, rows in (("k", kv), ("v", kv), ("output", shape.width)):
        yield f"attn_{name}.weight", noise.matrix(rows, shape.width)


def _feed_forward(shape: Shape, noise: Noise) -> Named:
    yield "ffn_gate.weight", noise.matrix(shape.hidden, shape.width)
    yield "ffn_up.weight", noise.matrix(shape.hidden, shape.width)
    yield "ffn_down.weight", noise.matrix(shape.width, shape.hidden)


_KEYS: dict[str, Callable[[GGUFWriter, Shape], None]] = {
    "qwen2": _qwen2_keys,
    "cohere2": _cohere2_keys,
    "gemma2": _gemma2_keys,
    "lfm2": _lfm2_keys,
    "mamba": _mamba_keys,
    "bert": _bert_keys,
}
_BLOCKS: dict[str, Callable[[Shape, Noise, int], Named]] = {
    "qwen2": _qwen2_block,
    "cohere2": _cohere2_block,
    "gemma2": _gemma2_block,
    "lfm2": _lfm2_block,
    "mamba": _mamba_block,
    "bert": _bert_block,
}
